// Piece by piece: graphiql/style.css is these and 400 kB of inlined fonts.
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "@graphiql/plugin-explorer/style.css";
import "graphiql/graphiql.css";
import "./page.css";
import "./graphiql.css";
// Static, because esbuild links only the styles of static imports; GraphiQL itself loads Monaco lazily.
import { THEMES } from "./themes.js";
import { explorerPlugin } from "@graphiql/plugin-explorer";
import { HISTORY_PLUGIN } from "@graphiql/plugin-history";
import { ToolbarButton, useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";
import { completeAccessibility } from "./accessibility.js";
import { linkTo, MAX_LINK, prepareTabs } from "./tabs.js";
import { Token } from "./token.js";

const page = document.getElementById("graphiql");
const { origin, pathname } = window.location;

globalThis.MonacoEnvironment = {
  getWorker: (_id, language) =>
    new Worker(new URL(page.dataset[language] ?? page.dataset.editor, import.meta.url), { type: "module" }),
};

const changes = new EventTarget();
const token = new Token({
  url: pathname,
  isNeeded: page.dataset.access === "token",
  onChange: () => token.value && changes.dispatchEvent(new Event("token")),
});

const send = createGraphiQLFetcher({
  url: pathname,
  subscriptionUrl: origin.replace(/^http/, "ws") + pathname,
  fetch: async (url, options) => {
    const response = await fetch(url, options);
    if (response.status === 401) token.refused();
    return response;
  },
});

/** Send an operation with the token, unless the headers of the tab have other credentials. */
function fetcher(parameters, options) {
  const names = Object.keys(options?.headers ?? {}).map((name) => name.toLowerCase());
  const isKnown = names.includes("authorization") || names.includes("x-project-token");
  if (token.isNeeded && !token.value && !isKnown) {
    token.ask();
    return { errors: [{ message: "A token is missing: enter one, with the button at the top of the page." }] };
  }
  const headers = isKnown ? options.headers : { ...options?.headers, ...token.headers };
  return send(parameters, { ...options, headers });
}

/** GraphiQL asks the system for light or dark once; its styles follow a later change, its editors need this. */
function useSystemTheme() {
  const theme = useGraphiQL((state) => state.theme);
  const { setTheme } = useGraphiQLActions();
  useEffect(() => {
    const system = window.matchMedia("(prefers-color-scheme: dark)");
    const follow = () => setTheme(theme);
    system.addEventListener("change", follow);
    return () => system.removeEventListener("change", follow);
  }, [theme, setTheme]);
}

/** The schema may be read only with a token. */
function useToken() {
  const { introspect } = useGraphiQLActions();
  useEffect(() => {
    changes.addEventListener("token", introspect);
    return () => changes.removeEventListener("token", introspect);
  }, [introspect]);
}

function Effects() {
  useSystemTheme();
  useToken();
  return null;
}

function ShareButton() {
  const editors = useGraphiQL(({ queryEditor, variableEditor, operationName }) => ({
    queryEditor,
    variableEditor,
    operationName,
  }));
  const [told, tell] = useState("");
  async function share() {
    const link = linkTo(editors.queryEditor.getValue(), editors.variableEditor?.getValue(), editors.operationName);
    if (link.length > MAX_LINK) {
      tell("The query is too long for a link: send it as text.");
      return;
    }
    try {
      await navigator.clipboard.writeText(link);
      tell("The link is copied.");
    } catch {
      // Browsers lend the clipboard to pages over HTTPS and of this machine only.
      window.history.replaceState(null, "", link);
      tell("The link is in the address bar: copy it there.");
    }
    setTimeout(tell, 8000, "");
  }
  return (
    <>
      <ToolbarButton onClick={share} label="Share a link to this query">
        <svg className="graphiql-toolbar-icon" viewBox="0 0 24 24" fill="none" stroke="currentColor" aria-hidden="true">
          <path strokeWidth="2" d="M10 14a5 5 0 0 0 7 0l3-3a5 5 0 0 0-7-7l-1 1M14 10a5 5 0 0 0-7 0l-3 3a5 5 0 0 0 7 7l1-1" />
        </svg>
      </ToolbarButton>
      <p role="status" className="share-status">
        {told}
      </p>
    </>
  );
}

const { query, variables } = prepareTabs();
const PLUGINS = [HISTORY_PLUGIN, explorerPlugin({ showAttribution: false })];

completeAccessibility(page);
createRoot(page).render(
  <GraphiQL
    fetcher={fetcher}
    initialQuery={query}
    initialVariables={variables}
    defaultQuery=""
    plugins={PLUGINS}
    editorTheme={THEMES}
    showPersistHeadersSettings={false}
    defaultEditorToolsVisibility="variables"
  >
    <GraphiQL.Logo>
      <Effects />
    </GraphiQL.Logo>
    <GraphiQL.Toolbar>
      {({ prettify, merge, copy }) => (
        <>
          {prettify}
          {merge}
          {copy}
          <ShareButton />
        </>
      )}
    </GraphiQL.Toolbar>
  </GraphiQL>,
);
