// The token of the person at the page: kept until the browser's tab is closed, sent only in a header.
const KEY = "release-catalog:token";
const REFUSED = "The server refuses the token: it is wrong or has expired. Get a new one.";

/** A token that is asked for in a dialog; `onChange` is called after each change. */
export class Token {
  constructor({ url, isNeeded, onChange }) {
    this.url = url;
    this.isNeeded = isNeeded;
    this.onChange = onChange;
    this.value = isNeeded ? sessionStorage.getItem(KEY) : null;
    if (isNeeded) this.#build();
  }

  /** The header that identifies the caller. */
  get headers() {
    return this.value ? { Authorization: `Bearer ${this.value}` } : {};
  }

  /** Ask for a token, and say why. */
  ask(reason = "") {
    this.message.textContent = reason;
    if (!this.dialog.open) this.dialog.showModal();
    this.input.focus();
  }

  /** Ask for another token: the server has refused this one. */
  refused() {
    if (this.isNeeded) this.ask(REFUSED);
  }

  #build() {
    this.button = document.createElement("button");
    this.button.type = "button";
    this.button.className = "token-button";
    this.button.addEventListener("click", () => this.ask());
    document.querySelector(".site").append(this.button);
    document.body.insertAdjacentHTML("beforeend", DIALOG);
    this.dialog = document.getElementById("token");
    this.input = this.dialog.querySelector("input");
    this.message = this.dialog.querySelector("[role=alert]");
    this.dialog.querySelector("form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#check(this.input.value.trim());
    });
    this.dialog.querySelector("[name=cancel]").addEventListener("click", () => this.dialog.close());
    this.dialog.querySelector("[name=forget]").addEventListener("click", () => this.#keep(null));
    this.#show();
  }

  async #check(value) {
    if (!/^[!-~]+$/.test(value)) {
      this.message.textContent = "A token has only letters, digits and signs: copy it without spaces.";
      return;
    }
    this.message.textContent = "Checking the token …";
    try {
      const response = await fetch(this.url, {
        method: "POST",
        headers: { "Content-Type": "application/json", Authorization: `Bearer ${value}` },
        body: JSON.stringify({ query: "{ viewer { subject } }" }),
      });
      const body = await response.json();
      if (response.status === 401) this.message.textContent = REFUSED;
      else if (!response.ok) this.message.textContent = body.errors?.[0]?.message ?? `The server answers ${response.status}.`;
      else this.#keep(value);
    } catch (error) {
      this.message.textContent = `The server does not answer (${error.message}): try again.`;
    }
  }

  #keep(value) {
    this.value = value;
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
    this.input.value = "";
    this.dialog.close();
    this.#show();
    this.onChange();
  }

  #show() {
    this.button.textContent = this.value ? "Change the token" : "Enter a token";
    this.dialog.querySelector("[name=forget]").hidden = !this.value;
  }
}

const DIALOG = `
<dialog id="token" aria-labelledby="token-title">
  <form method="dialog">
    <h2 id="token-title">Token</h2>
    <p>This server answers callers with a token only. The page sends it in the header Authorization, and forgets it
    when you close this tab of the browser.</p>
    <label for="token-value">Token</label>
    <input id="token-value" type="password" autocomplete="off" required maxlength="8192" spellcheck="false">
    <p role="alert"></p>
    <p class="token-actions">
      <button type="submit" class="token-button">Use the token</button>
      <button type="button" class="token-button" name="forget">Forget the token</button>
      <button type="button" class="token-button" name="cancel">Cancel</button>
    </p>
  </form>
</dialog>`;
