// urql for the release catalog: `url` ends in /graphql, `headers` hold the credentials.
import { Client, fetchExchange, subscriptionExchange } from "@urql/core";
import { createClient as createSseClient } from "graphql-sse";
import { onEnd, pipe, subscribe } from "wonka";
import { createCache } from "./cache.mjs";
import { EVENTS, optimistic } from "./operations.mjs";

export function createClient({ url, headers = {} }) {
  const sse = createSseClient({ url, headers, retryAttempts: 0 });
  const forwardSubscription = (request) => ({
    subscribe: (sink) => ({ unsubscribe: sse.subscribe(request, sink) }),
  });
  return new Client({
    url,
    fetchOptions: { headers },
    preferGetMethod: false,
    exchanges: [createCache({ optimistic }), fetchExchange, subscriptionExchange({ forwardSubscription })],
  });
}

// Load the pages of the list at this path one after another, such as ["release", "dependants"]. The cache keeps each under
// its own `after`, exactly as it came.
export async function* loadPages(client, query, { after, ...variables }, [root, field], context) {
  for (;;) {
    const { data, error } = await client.query(query, { ...variables, after }, context);
    if (error) throw error;
    const page = data[root][field];
    yield page;
    if (!page.pageInfo.hasNextPage) return;
    after = page.pageInfo.endCursor;
  }
}

// Call `onEvent` with each event after the one with the id `after`. After a cut, go on where it was: events are
// sent again after any id, so none is missed. Ends when `signal` is aborted.
export async function follow(client, { after, onEvent, onCut = () => {}, signal, pause = 1000 }) {
  while (!signal.aborted) {
    await new Promise((resolve) => {
      const { unsubscribe } = pipe(
        client.subscription(EVENTS, { after }, { requestPolicy: "network-only" }),
        onEnd(resolve),
        subscribe(({ data, error }) => {
          if (error) onCut(error);
          if (!data) return;
          after = data.events.id;
          onEvent(data.events);
        }),
      );
      signal.addEventListener("abort", () => (unsubscribe(), resolve()), { once: true });
    });
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
