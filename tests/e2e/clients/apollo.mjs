import { gql } from "@apollo/client";
import { addPage, createClient, follow } from "./client.mjs";
import * as operations from "./operations.mjs";
import { documents, followWithCuts, lists, main, patch, raw, RELEASE, waitFor } from "../support.mjs";

async function answers(url) {
  const client = createClient({ url });
  const queries = documents().map(({ name, text }) => ({ name, text, query: gql(text) }));
  for (const { query } of queries) await client.query({ query });
  const results = [];
  for (const { name, text, query } of queries) {
    results.push({ name, raw: await raw(url, text), cached: client.readQuery({ query }) });
  }
  return { results };
}

// Page each list to its end, and read the whole list from the cache.
async function pages(url) {
  const client = createClient({ url });
  const results = [];
  for (const { operation, path: [root, field], variables } of lists()) {
    const query = operations[operation];
    const list = client.watchQuery({ query, variables });
    list.subscribe(() => {});
    await client.query({ query, variables });
    const connection = () => client.readQuery({ query, variables })[root][field];
    while (connection().pageInfo.hasNextPage) {
      const after = connection().pageInfo.endCursor;
      await list.fetchMore({ variables: { after }, updateQuery: addPage(root, field) });
    }
    results.push({ operation, edges: connection().edges });
  }
  return { results };
}

async function rollback(url) {
  const client = createClient({ url });
  const variables = { id: RELEASE };
  const shown = [];
  client.watchQuery({ query: operations.RELEASE, variables }).subscribe(({ data }) => data && shown.push(data.release.notes));
  await waitFor(() => shown.length);
  const { etag, name } = client.readQuery({ query: operations.RELEASE, variables }).release;
  await patch(url, "written by somebody else than apollo");
  const input = { id: RELEASE, name, notes: "written by apollo", ifMatch: etag };
  const { data } = await client.mutate({
    mutation: operations.PATCH_RELEASE,
    variables: { input },
    optimisticResponse: operations.optimisticPatch(input),
  });
  const { release } = client.readQuery({ query: operations.RELEASE, variables });
  await client.refetchQueries({ include: "active" });
  const tried = { ...input, notes: "tried by apollo", ifMatch: null, dryRun: true };
  const dry = await client.mutate({ mutation: operations.TRY_PATCH_RELEASE, variables: { input: tried } });
  const kept = client.readQuery({ query: operations.RELEASE, variables }).release.notes;
  return { dryRun: dry.data.patchRelease, kept, shown, problem: data.patchRelease.problem, etag: { kept: etag, cached: release.etag } };
}

await main({ answers, pages, rollback, follow: (url) => followWithCuts(url, (url, options) => follow(createClient({ url }), options)) });
