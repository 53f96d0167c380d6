// Apollo Client for the release catalog: `url` ends in /graphql, `headers` hold the credentials.
import { ApolloClient, HttpLink } from "@apollo/client";
import { createCache } from "./cache.mjs";
import { EVENTS } from "./operations.mjs";

export const createClient = ({ url, headers = {} }) =>
  // HttpLink reads subscriptions, too, as multipart responses.
  new ApolloClient({ cache: createCache(), link: new HttpLink({ uri: url, headers }) });

// For `fetchMore({ variables: { after }, updateQuery: addPage("release", "dependants") })`: add the next page to the list
// at this path. The cache keeps a list for each set of arguments, so lists of different sizes do not mix.
export const addPage = (...path) => (previous, { fetchMoreResult: next }) => {
  const add = (old, more, [name, ...inner]) =>
    name ? { ...old, [name]: add(old[name], more[name], inner) } : { ...more, edges: [...old.edges, ...more.edges] };
  return add(previous, next, path);
};

// Call `onEvent` with each event after the one with the id `after`. After a cut, go on where it was: events are
// sent again after any id, so none is missed. Ends when `signal` is aborted.
export async function follow(client, { after, onEvent, onCut = () => {}, signal, pause = 1000 }) {
  while (!signal.aborted) {
    await new Promise((resolve) => {
      const subscription = client.subscribe({ query: EVENTS, variables: { after } }).subscribe({
        next({ data, error }) {
          if (error) return onCut(error);
          after = data.events.id;
          onEvent(data.events);
        },
        error(error) {
          onCut(error);
          resolve();
        },
        complete: resolve,
      });
      signal.addEventListener("abort", () => (subscription.unsubscribe(), resolve()), { once: true });
    });
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
