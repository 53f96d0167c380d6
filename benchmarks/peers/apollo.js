// Apollo Server with the HTTP server that it brings along; it keeps parsed documents by default.
import { ApolloServer } from "@apollo/server";
import { startStandaloneServer } from "@apollo/server/standalone";
import { context, port, resolvers, typeDefs } from "./catalog.js";

const server = new ApolloServer({ typeDefs, resolvers, introspection: false });
await startStandaloneServer(server, { context: async () => context(), listen: { port, host: "127.0.0.1" } });
