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
    "editorSuggestWidget.selectedBackground": "#3a4660",
    "editorSuggestWidget.selectedForeground": "#ffffff",
    "editorSuggestWidget.focusHighlightForeground": "#ff9cc4",
    "editorSuggestWidget.highlightForeground": "#ff9cc4",
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
    "editorHoverWidget.background": "#ffffff",
    "editorSuggestWidget.background": "#ffffff",
    "editorSuggestWidget.selectedBackground": "#fbe6f3",
    "editorSuggestWidget.selectedForeground": "#1b1b1b",
    "editorSuggestWidget.focusHighlightForeground": "#a1046e",
    "editorSuggestWidget.highlightForeground": "#a1046e",
    "editorWidget.background": "#ffffff",
    "textLink.foreground": "#b1047a",
    "textLink.activeForeground": "#b1047a",
  },
  rules: [
    { token: "argument.identifier.gql", foreground: "5450b8" },
    { token: "comment", foreground: "006b00" },
    { token: "number", foreground: "00664a" },
  ],
});
