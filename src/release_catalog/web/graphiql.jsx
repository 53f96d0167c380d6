// Static, because esbuild links only the styles of static imports; GraphiQL itself loads Monaco lazily.
import "monaco-graphql/esm/monaco-editor.js";
// Piece by piece: graphiql/style.css is these and 400 kB of inlined fonts.
import "@graphiql/react/style.css";
import "@graphiql/plugin-doc-explorer/style.css";
import "@graphiql/plugin-history/style.css";
import "graphiql/graphiql.css";
import "./graphiql.css";
import { useGraphiQL, useGraphiQLActions } from "@graphiql/react";
import { createGraphiQLFetcher } from "@graphiql/toolkit";
import { GraphiQL } from "graphiql";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

const WORKERS = { graphql: "graphql.worker.js", json: "json.worker.js" };

globalThis.MonacoEnvironment = {
  getWorker: (_id, language) =>
    new Worker(new URL(WORKERS[language] ?? "editor.worker.js", import.meta.url), { type: "module" }),
};

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

function Title() {
  useSystemTheme();
  return "Release catalog";
}

const page = document.getElementById("graphiql");
const { origin, pathname } = window.location;
const fetcher = createGraphiQLFetcher({
  url: pathname,
  subscriptionUrl: origin.replace(/^http/, "ws") + pathname,
});

createRoot(page).render(
  <GraphiQL fetcher={fetcher} defaultQuery={page.dataset.query}>
    <GraphiQL.Logo>
      <Title />
    </GraphiQL.Logo>
  </GraphiQL>,
);
