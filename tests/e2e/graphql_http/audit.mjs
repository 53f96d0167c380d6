// node audit.mjs URL: how far the server keeps to GraphQL over HTTP, one JSON line an audit.
import { serverAudits } from "graphql-http";

for (const { id, name, fn } of serverAudits({ url: process.argv[2] })) {
  const { status, reason } = await fn().catch((error) => ({ status: "error", reason: String(error) }));
  console.log(JSON.stringify({ id, name, status, reason }));
}
