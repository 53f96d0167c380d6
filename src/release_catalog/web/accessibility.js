// Roles, names and keys that GraphiQL and its plugins leave out.

/** Complete what is on the page, and what React adds to it later. */
export function completeAccessibility(root) {
  complete(root);
  const observer = new MutationObserver(() => complete(root));
  const attributeFilter = ["aria-selected", "aria-activedescendant"];
  observer.observe(root, { subtree: true, childList: true, attributes: true, attributeFilter });
  root.addEventListener("keydown", pressWithKeys);
}

function complete(root) {
  // Buttons inside a tab are no tabs: this is a list of buttons, of which one is current.
  for (const list of root.querySelectorAll(".graphiql-tabs[role=tablist]")) list.setAttribute("role", "list");
  for (const item of root.querySelectorAll(".graphiql-tab[role=tab]")) item.setAttribute("role", "listitem");
  for (const item of root.querySelectorAll(".graphiql-tab[aria-selected]")) {
    const [button, close] = item.querySelectorAll("button");
    button?.setAttribute("aria-current", item.getAttribute("aria-selected"));
    close?.setAttribute("aria-label", `Close ${button.textContent}`);
    item.removeAttribute("aria-selected");
  }
  root.querySelector("#graphiql-session[role=tabpanel]")?.setAttribute("role", "region");
  for (const item of root.querySelectorAll("button.graphiql-history-item-label")) name(item, `Open ${item.textContent}`);
  // Monaco gives the suggestion that is chosen another id, and leaves its list with the old one.
  for (const list of root.querySelectorAll(".monaco-list[aria-activedescendant]")) {
    if (!document.getElementById(list.getAttribute("aria-activedescendant"))) list.removeAttribute("aria-activedescendant");
  }
  // The explorer has fields to click, and takes no keys.
  for (const field of root.querySelectorAll("[data-field-name]:not([role]), [data-arg-name] > span:first-child:not([role])")) {
    field.setAttribute("role", "button");
    field.setAttribute("tabindex", "0");
  }
  root.querySelector(".graphiql-explorer-actions select:not([aria-label])")?.setAttribute("aria-label", "Kind of operation to add");
  for (const input of root.querySelectorAll(".graphiql-operation-title-bar input")) name(input, "Name of the operation");
  root.querySelector(".graphiql-explorer-actions button:not([aria-label])")?.setAttribute("aria-label", "Add the operation");
}

function name(element, text) {
  if (element.getAttribute("aria-label") !== text) element.setAttribute("aria-label", text);
}

function pressWithKeys(event) {
  const isField = event.target.matches(".graphiql-explorer-root [role=button]");
  if (isField && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    event.target.click();
  }
}
