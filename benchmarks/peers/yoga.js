// GraphQL Yoga over Node's own HTTP server; it keeps parsed and validated documents by default.
import { createServer } from "node:http";
import { createSchema, createYoga } from "graphql-yoga";
import { context, port, resolvers, typeDefs } from "./catalog.js";

const yoga = createYoga({ schema: createSchema({ typeDefs, resolvers }), context, logging: false, graphiql: false });
createServer(yoga).listen(port, "127.0.0.1");
