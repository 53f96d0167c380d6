// The colours of the editors, with contrast for WCAG: at least 4.5 to 1 on every pane.
import { editor } from "monaco-graphql/esm/monaco-editor.js";

export const THEMES = { dark: "catalog-dark", light: "catalog-light" };

const TRANSPARENT = "#00000000";
const SHARED = { "editor.background": TRANSPARENT, "scrollbar.shadow": TRANSPARENT };

editor.defineTheme(THEMES.dark, {
  base: "vs-dark",
  inherit: true,
  colors: {
    ...SHARED,
    "editorLineNumber.foreground": "#a9b4c7",
    "editorLineNumber.dimmedForeground": "#a9b4c7",
    "editorHoverWidget.background": "#212a3b",
    "editorSuggestWidget.background": "#212a3b",
    "editorWidget.background": "#212a3b",
    "textLink.foreground": "#ff8ab3",
    "textLink.activeForeground": "#ff8ab3",
  },
  rules: [
    { token: "argument.identifier.gql", foreground: "b3afff" },
    { token: "comment", foreground: "9ccc7c" },
    { token: "keyword", foreground: "7fb8f0" },
  ],
});
editor.defineTheme(THEMES.light, {
  base: "vs",
  inherit: true,
  colors: {
    ...SHARED,
    "editorLineNumber.foreground": "#1f6d80",
    "editorLineNumber.dimmedForeground": "#1f6d80",
    "textLink.foreground": "#b1047a",
    "textLink.activeForeground": "#b1047a",
  },
  rules: [
    { token: "argument.identifier.gql", foreground: "5450b8" },
    { token: "comment", foreground: "006b00" },
    { token: "number", foreground: "00664a" },
  ],
});
