// node follow.mjs URL ws|sse COUNT: follows events with the reference clients, dropping after each, one JSON line an event.
import { createClient as overSse } from "graphql-sse";
import { createClient as overWs } from "graphql-ws";
import webSocketImpl from "ws"; // node has had its own only since 22

const [url, protocol, count] = process.argv.slice(2);
const client = protocol === "ws" ? overWs({ url: url.replace(/^http/, "ws"), webSocketImpl }) : overSse({ url });
const query = "subscription($after: ID) { events(after: $after) { id type release { name } } }";

console.log(JSON.stringify(await once(client.iterate({ query: "{ viewer { subject } }" }))));
let after = "0";
for (let number = 0; number < count; number++) {
  const result = await once(client.iterate({ query, variables: { after } }));
  console.log(JSON.stringify(result));
  after = result.data.events.id;
}
console.log(JSON.stringify(await once(client.iterate({ query, variables: { after: "x" } })).catch((error) => ({ errors: error }))));
client.dispose();

async function once(results) {
  for await (const result of results) return result;
}
