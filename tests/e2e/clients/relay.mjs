import { createRequire } from "node:module";
import relay from "relay-runtime";
import { createEnvironment, follow } from "./environment.mjs";
import { documents, followWithCuts, lists, main, patch, raw, RELEASE } from "../support.mjs";

const { commitMutation, createOperationDescriptor, fetchQuery, getSingularSelector, readInlineData } = relay;
const require = createRequire(import.meta.url);
const compiled = (name) => require(`./src/__generated__/${name}.graphql`);

async function request(environment, query, variables = {}) {
  const operation = createOperationDescriptor(query, variables);
  environment.retain(operation);
  await fetchQuery(environment, query, variables).toPromise();
  return environment.lookup(operation.fragment).data;
}

const cached = (environment, query, variables = {}) =>
  environment.lookup(createOperationDescriptor(query, variables).fragment).data;

async function answers(url) {
  const environment = createEnvironment({ url });
  const queries = documents().map(({ name, text }) => ({ name, text, query: compiled(`Answers${name}Query`) }));
  for (const { query } of queries) await request(environment, query);
  const results = [];
  for (const { name, text, query } of queries) {
    results.push({ name, raw: await raw(url, text), cached: cached(environment, query) });
  }
  return { results };
}

// Page each list to its end as usePaginationFragment does, and read the whole list from the store.
async function pages(url) {
  const environment = createEnvironment({ url });
  const results = [];
  for (const { fragment: name, query, path: [root, field], variables } of lists()) {
    const fragment = compiled(name);
    const { [root]: parent } = await request(environment, compiled(query), variables);
    const selector = getSingularSelector(fragment, parent);
    const connection = () => environment.lookup(selector).data[field];
    const { nodeId } = environment.lookup(selector).data;
    while (connection().pageInfo.hasNextPage) {
      const { id, name: _, ...rest } = variables;
      await request(environment, fragment.metadata.refetch.operation, {
        ...rest, nodeId, after: connection().pageInfo.endCursor,
      });
    }
    results.push({ operation: name, edges: connection().edges });
  }
  return { results };
}

async function rollback(url) {
  const environment = createEnvironment({ url });
  const query = compiled("ReleaseQuery");
  const variables = { id: RELEASE };
  await request(environment, query, variables);
  const lookup = () => environment.lookup(createOperationDescriptor(query, variables).fragment);
  const label = () => readInlineData(compiled("Release_label"), lookup().data.release);
  const { nodeId, etag, name, notes } = label();
  const shown = [notes];
  environment.subscribe(lookup(), () => shown.push(label().notes));
  await patch(url, "written by somebody else than relay");
  const input = { id: RELEASE, name, notes: "written by relay", ifMatch: etag };
  const commit = (mutation, config) =>
    new Promise((onCompleted, onError) =>
      commitMutation(environment, { mutation: compiled(mutation), ...config, onCompleted, onError }),
    );
  const { patchRelease } = await commit("ReleasePatchMutation", {
    variables: { input },
    optimisticUpdater: (store) => store.get(nodeId).setValue(input.notes, "notes"),
  });
  const refused = label();
  await request(environment, query, variables);
  const tried = { ...input, notes: "tried by relay", ifMatch: null, dryRun: true };
  const dry = await commit("ReleaseTryPatchMutation", { variables: { input: tried } });
  return { dryRun: dry.patchRelease, kept: label().notes, shown, problem: patchRelease.problem, etag: { kept: etag, cached: refused.etag } };
}

const followed = (url) =>
  followWithCuts(url, (url, { onEvent, ...options }) => {
    const environment = createEnvironment({ url });
    const read = (event) => ({ ...event, release: readInlineData(compiled("Release_label"), event.release) });
    const subscription = compiled("ReleaseEventsSubscription");
    return follow(environment, { subscription, onEvent: (event) => onEvent(read(event)), ...options });
  });

await main({ answers, pages, rollback, follow: followed });
