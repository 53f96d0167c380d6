import { gql } from "@urql/core";
import { createClient, follow, loadPages } from "./client.mjs";
import * as operations from "./operations.mjs";
import { documents, followWithCuts, lists, main, patch, raw, RELEASE, waitFor } from "../support.mjs";

const cached = (client, query, variables = {}) => client.readQuery(query, variables)?.data;

async function request(client, query, variables = {}) {
  const { data, error } = await client.query(query, variables, { requestPolicy: "network-only" });
  if (error) throw error;
  return data;
}

async function answers(url) {
  const client = createClient({ url });
  const queries = documents().map(({ name, text }) => ({ name, text, query: gql(text) }));
  for (const { query } of queries) await request(client, query);
  const results = [];
  for (const { name, text, query } of queries) {
    results.push({ name, raw: await raw(url, text), cached: cached(client, query) });
  }
  return { results };
}

// Page each list to its end, and read its pages again from the cache alone.
async function pages(url) {
  const client = createClient({ url });
  const results = [];
  for (const { operation, path, variables } of lists()) {
    const read = async (requestPolicy) => {
      const edges = [];
      for await (const page of loadPages(client, operations[operation], variables, path, { requestPolicy })) {
        edges.push(...page.edges);
      }
      return edges;
    };
    await read("network-only");
    results.push({ operation, edges: await read("cache-only") });
  }
  return { results };
}

async function rollback(url) {
  const client = createClient({ url });
  const variables = { id: RELEASE };
  const shown = [];
  const { unsubscribe } = client
    .query(operations.RELEASE, variables)
    .subscribe(({ data }) => data && shown.push(data.release.notes));
  await waitFor(() => shown.length);
  const { etag, name } = cached(client, operations.RELEASE, variables).release;
  await patch(url, "written by somebody else than urql");
  const { data } = await client.mutation(operations.PATCH_RELEASE, {
    input: { id: RELEASE, name, notes: "written by urql", ifMatch: etag },
  });
  const { release } = cached(client, operations.RELEASE, variables);
  await request(client, operations.RELEASE, variables);
  await waitFor(() => shown.at(-1) === "written by somebody else than urql");
  const tried = { id: RELEASE, name, notes: "tried by urql", dryRun: true };
  const dry = await client.mutation(operations.TRY_PATCH_RELEASE, { input: tried });
  const kept = cached(client, operations.RELEASE, variables).release.notes;
  unsubscribe();
  return { dryRun: dry.data.patchRelease, kept, shown, problem: data.patchRelease.problem, etag: { kept: etag, cached: release.etag } };
}

await main({ answers, pages, rollback, follow: (url) => followWithCuts(url, (url, options) => follow(createClient({ url }), options)) });
