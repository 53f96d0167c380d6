// The tabs that the page opens with: those of the last visit, or examples; and the query of a link beside them.
import latest from "./examples/1-latest.graphql";
import latestVariables from "./examples/1-latest.json";
import dependants from "./examples/2-dependants.graphql";
import dependantsVariables from "./examples/2-dependants.json";
import checksum from "./examples/3-checksum.graphql";
import promote from "./examples/4-promote.graphql";
import promoteVariables from "./examples/4-promote.json";
import compare from "./examples/5-compare.graphql";
import compareVariables from "./examples/5-compare.json";
import follow from "./examples/6-follow.graphql";
import followVariables from "./examples/6-follow.json";

const EXAMPLES = [
  [latest, latestVariables],
  [dependants, dependantsVariables],
  [checksum, null],
  [promote, promoteVariables],
  [compare, compareVariables],
  [follow, followVariables],
];
// GraphiQL's own names in the storage of the browser.
const TABS = "graphiql:tabState";
const QUERY = "graphiql:query";
const VARIABLES = "graphiql:variables";
/** Servers and proxies refuse longer addresses. */
export const MAX_LINK = 8000;

/** Store the tabs to open, where GraphiQL looks for them. Nothing is run. */
export function prepareTabs() {
  const state = storedTabs() ?? { activeTabIndex: 0, tabs: EXAMPLES.map(([query, values]) => tab(query, written(values))) };
  const shared = linkedTab(new URLSearchParams(window.location.search));
  if (shared) {
    const same = state.tabs.findIndex((one) => one.query === shared.query && (one.variables ?? "") === shared.variables);
    state.activeTabIndex = same >= 0 ? same : state.tabs.push(shared) - 1;
    // A reload shows the tab as it was left.
    window.history.replaceState(null, "", window.location.pathname);
  }
  const active = state.tabs[state.activeTabIndex] ?? state.tabs[0];
  try {
    localStorage.setItem(TABS, JSON.stringify(state));
    localStorage.setItem(QUERY, active?.query ?? "");
    localStorage.setItem(VARIABLES, active?.variables ?? "");
  } catch {
    // Without storage, GraphiQL opens the query that it is given.
  }
  return { query: active?.query ?? "", variables: active?.variables ?? "" };
}

/** The address that opens a query here; its reader sees the query first, and runs it or not. */
export function linkTo(query, variables, operationName) {
  const parameters = new URLSearchParams({ query });
  if (variables?.trim()) parameters.set("variables", variables);
  if (operationName) parameters.set("operationName", operationName);
  return `${window.location.origin}${window.location.pathname}?${parameters}`;
}

function storedTabs() {
  try {
    const state = JSON.parse(localStorage.getItem(TABS));
    return Array.isArray(state?.tabs) && state.tabs.length > 0 ? state : null;
  } catch {
    return null;
  }
}

function linkedTab(parameters) {
  const query = parameters.get("query");
  return query ? tab(query, parameters.get("variables") ?? "", parameters.get("operationName")) : null;
}

function written(values) {
  return values ? JSON.stringify(values, null, 2) : "";
}

function tab(query, variables, operationName = null) {
  const name = operationName ?? /^(?!#).*(?:query|subscription|mutation)\s+(\w+)/m.exec(query)?.[1] ?? null;
  const id = crypto.getRandomValues(new Uint32Array(4)).join("-");
  return { id, title: name ?? "<untitled>", query, variables, headers: null, operationName: name, response: null };
}
