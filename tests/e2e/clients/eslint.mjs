// What the presets report about the schema by themselves, and with the exceptions of the configuration.
import graphql from "@graphql-eslint/eslint-plugin";
import { ESLint } from "eslint";
import config, { suffixesWithoutIdentity, withoutIdentity } from "./eslint.config.mjs";

const [{ rules, ...rest }] = config;
const { "flat/schema-recommended": recommended, "flat/schema-relay": relay } = graphql.configs;

async function reports(rules) {
  const eslint = new ESLint({ overrideConfigFile: true, overrideConfig: [{ ...rest, rules }] });
  const [{ messages }] = await eslint.lintFiles(["schema.graphql"]);
  return messages.map(({ ruleId, message }) => [ruleId?.split("/")[1], message]);
}

console.log(
  JSON.stringify({
    configured: await reports(rules),
    recommended: await reports(recommended.rules),
    relay: await reports(relay.rules),
    types: Object.values(withoutIdentity).flat(),
    suffixes: suffixesWithoutIdentity,
  }),
);
