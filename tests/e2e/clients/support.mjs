// What the programs of all clients share: raw answers, a connection that can be cut, and steps that are chosen by name.
import net from "node:net";
import { readFileSync, writeFileSync } from "node:fs";

export async function raw(url, query, variables = {}) {
  const response = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ query, variables }),
  });
  const { data, errors } = await response.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data;
}

// A port that leads to the server until `cut` breaks all its connections.
export async function cuttable(url) {
  const { hostname, port } = new URL(url);
  const sockets = new Set();
  const proxy = net.createServer((socket) => {
    const other = net.connect(port, hostname);
    for (const [from, to] of [[socket, other], [other, socket]]) {
      sockets.add(from);
      from.on("error", () => {}).on("close", () => (sockets.delete(from), to.destroy())).pipe(to);
    }
  });
  await new Promise((resolve) => proxy.listen(0, hostname, resolve));
  return {
    url: `http://${hostname}:${proxy.address().port}/graphql`,
    cut: () => sockets.forEach((socket) => socket.destroy()),
    close: () => proxy.close(),
  };
}

const PATCH = `mutation($id: ID!, $notes: String) { patchRelease(input: {id: $id, name: "Acme Desktop 2.0.0", notes: $notes}) {
  release { etag } problem { detail } } }`;
export const RELEASE = "8b1f0c3a9b7d4e2f8a6c2000";

export const patch = async (url, notes) => {
  const { release, problem } = (await raw(url, PATCH, { id: RELEASE, notes })).patchRelease;
  if (problem) throw new Error(problem.detail);
  return release.etag;
};

// Follow events over a connection that is cut after the first event, and again while the client waits.
export async function followWithCuts(url, follow) {
  const all = `{ events(first: 100) { edges { node { id type release { notes } } } } }`;
  const before = (await raw(url, all)).events.edges.map(({ node }) => node.id);
  const proxy = await cuttable(url);
  const stopped = new AbortController();
  const events = [];
  const cuts = [];
  const until = (count) => waitFor(() => events.length >= count);
  const following = follow(proxy.url, {
    after: before.at(-1) ?? "0",
    onEvent: (event) => events.push(event),
    onCut: (error) => cuts.push(String(error)),
    signal: stopped.signal,
    pause: 50,
  });
  await patch(url, "first");
  await until(1);
  proxy.cut();
  await patch(url, "second");
  await patch(url, "third");
  await until(3);
  proxy.cut();
  await waitFor(() => cuts.length >= 2);
  await patch(url, "fourth");
  await until(4);
  stopped.abort();
  await following;
  proxy.cut();
  proxy.close();
  const after = (await raw(url, all)).events.edges.map(({ node }) => node);
  return { events, expected: after.slice(before.length), cuts };
}

export async function waitFor(condition) {
  const deadline = Date.now() + 30_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`not within 30 seconds: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const read = (name) => JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
// Documents whose answers are compared, and lists that are paged to their end.
export const documents = () => read("documents.json");
export const lists = () => read("lists.json");

// Run the step that the command line names; what it returns is the one thing that it writes to standard output.
export async function main(steps) {
  const [name, url] = process.argv.slice(2);
  const warnings = [];
  console.warn = console.error = (...message) => warnings.push(message.map(String).join(" "));
  const result = await steps[name](url);
  writeFileSync(1, JSON.stringify({ warnings, ...result }));
  process.exit(0);
}
