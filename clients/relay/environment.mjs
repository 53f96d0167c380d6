// Relay's environment for the release catalog: `url` ends in /graphql, `headers` hold the credentials.
import { createClient } from "graphql-sse";
import relay from "relay-runtime";

const { Environment, Network, Observable, RecordSource, Store, requestSubscription, ROOT_TYPE } = relay;

export function createEnvironment({ url, headers = {} }) {
  const sse = createClient({ url, headers, retryAttempts: 0 });
  const fetchFunction = async ({ text, name }, variables) => {
    const response = await fetch(url, {
      method: "POST",
      headers: { ...headers, "Content-Type": "application/json", Accept: "application/graphql-response+json" },
      body: JSON.stringify({ query: text, operationName: name, variables }),
    });
    return response.json();
  };
  const subscribeFunction = ({ text, name }, variables) =>
    Observable.create((sink) =>
      sse.subscribe({ query: text, operationName: name, variables }, {
        next: sink.next,
        error: (cause) => sink.error(cause instanceof Error ? cause : new Error(JSON.stringify(cause))),
        complete: sink.complete,
      }),
    );
  return new Environment({
    network: Network.create(fetchFunction, subscribeFunction),
    store: new Store(new RecordSource()),
    // Without it, Relay keys by `id`, and documents of different types overwrite each other. A type without a node id
    // is kept inside its parent.
    getDataID: (value) => value.nodeId,
    missingFieldHandlers: [
      {
        // A document that is in the store is found by its node id without a request.
        kind: "linked",
        handle: ({ name }, record, args) =>
          name === "node" && record?.getType() === ROOT_TYPE ? args?.nodeId : undefined,
      },
    ],
  });
}

// Call `onEvent` with each event after the one with the id `after`. After a cut, go on where it was: events are
// sent again after any id, so none is missed. Ends when `signal` is aborted.
export async function follow(environment, { subscription, after, onEvent, onCut = () => {}, signal, pause = 1000 }) {
  while (!signal.aborted) {
    await new Promise((resolve) => {
      const { dispose } = requestSubscription(environment, {
        subscription,
        variables: { after },
        onNext: ({ events }) => {
          after = events.id;
          onEvent(events);
        },
        onError: (error) => (onCut(error), resolve()),
        onCompleted: resolve,
      });
      signal.addEventListener("abort", () => (dispose(), resolve()), { once: true });
    });
    if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
