// node audit.mjs URL [AUTHORIZATION]: how far the server keeps to GraphQL over HTTP, one JSON line an audit.
import { serverAudits } from "graphql-http";

const [url, authorization] = process.argv.slice(2);
const fetchFn = (to, { headers, ...init } = {}) =>
  fetch(to, { ...init, headers: { ...headers, ...(authorization && { authorization }) } });

for (const { id, name, fn } of serverAudits({ url, fetchFn })) {
  const { status, reason } = await fn().catch((error) => ({ status: "error", reason: String(error) }));
  console.log(JSON.stringify({ id, name, status, reason }));
}
