// Mercurius on Fastify with its JIT: a query is compiled at its second coming.
import Fastify from "fastify";
import mercurius from "mercurius";
import { context, port, resolvers, typeDefs } from "./catalog.js";

const app = Fastify();
app.register(mercurius, { schema: typeDefs, resolvers, context, jit: 1 });
await app.listen({ port, host: "127.0.0.1" });
