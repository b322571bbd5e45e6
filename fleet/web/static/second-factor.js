/* Security keys: what the page asks of the browser, and the answer put into its form. Without it
   the six digits of an app still work. */

"use strict";

(() => {
  const bytes = (text) =>
    Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer)))
      .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  /* JSON has no bytes: they travel as base64url (WebAuthn Level 3, 5.1.8 and 5.1.9). */
  function asked(options) {
    const keys = (list) => (list ?? []).map((one) => ({ ...one, id: bytes(one.id) }));
    const made = { ...options, challenge: bytes(options.challenge) };
    if (options.user) made.user = { ...options.user, id: bytes(options.user.id) };
    if (options.excludeCredentials) made.excludeCredentials = keys(options.excludeCredentials);
    if (options.allowCredentials) made.allowCredentials = keys(options.allowCredentials);
    return made;
  }

  function answered(credential) {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return JSON.stringify({
      id: credential.id, rawId: text(credential.rawId), type: credential.type,
      response, clientExtensionResults: {},
    });
  }

  async function use(form) {
    const said = form.querySelector("[data-key-said]");
    said.textContent = said.dataset.waiting;
    try {
      const publicKey = asked(JSON.parse(form.dataset.options));
      const credential = form.dataset.key === "get"
        ? await navigator.credentials.get({ publicKey })
        : await navigator.credentials.create({ publicKey });
      form.querySelector("[name=second_answer]").value = answered(credential);
      form.submit();
    } catch {
      said.textContent = said.dataset.failed;
    }
  }

  for (const form of document.querySelectorAll("form[data-key]")) {
    form.querySelector("[data-use-key]").addEventListener("click", () => {
      if (form.reportValidity()) use(form);
    });
  }
})();
