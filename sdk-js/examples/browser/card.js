// SPDX-License-Identifier: Apache-2.0
// One request on the page: its bar, its text, and its end.
import { RequestCancelledError } from "longcall";

const list = document.querySelector("#requests");
const template = document.querySelector("#request");
const none = document.querySelector("#none");
const news = document.querySelector("#news");

export class Card {
  #item = template.content.cloneNode(true).firstElementChild;
  #title;
  #text = "";
  #rows = 0;

  constructor(title) {
    this.#title = title;
    this.#find("h3").textContent = title;
    this.#find("progress").setAttribute("aria-label", `progress of ${title}`);
    this.#status("sending");
    list.prepend(this.#item);
    none.hidden = true;
  }

  /** Shows all that happens to the request, from its beginning to its end. */
  async follow(handle) {
    const cancel = this.#find(".cancel");
    this.#find("code").textContent = handle.id;
    cancel.disabled = false;
    cancel.addEventListener("click", () => {
      cancel.disabled = true;
      handle.cancel("the user had enough").catch((error) => this.#say(error.message));
    });
    try {
      for await (const event of handle) this.#show(event);
      const result = await handle.result();
      this.#progress(100);
      this.#say(told(result, this.#rows));
      this.#over("completed");
      if (result.file !== undefined) this.#offer(handle, result.file);
    } catch (error) {
      this.end(error);
    }
  }

  /** Shows an end without a result. */
  end(error) {
    const isCancelled = error instanceof RequestCancelledError;
    this.#say(isCancelled ? "" : error.message);
    this.#over(isCancelled ? "cancelled" : "failed");
  }

  #show(event) {
    if (event.kind === "status") this.#status(event.status);
    else if (event.kind === "progress") {
      this.#progress(event.percentage);
      if (event.message !== undefined) this.#say(event.message);
    } else if (Array.isArray(event.data)) this.#rows += event.data.length;
    else if (event.data.text !== undefined) this.#write(event.data.text);
  }

  #status(status) {
    this.#find("article").dataset.status = status;
    this.#find(".status").textContent = status;
  }

  #progress(percentage) {
    if (percentage === undefined) return;
    this.#find("progress").value = percentage;
    this.#find("output").textContent = `${Math.floor(percentage)} %`;
  }

  #say(message) {
    this.#find(".message").textContent = message;
  }

  #write(words) {
    const shown = this.#find(".text");
    this.#text += words;
    shown.hidden = false;
    shown.textContent = this.#text;
    shown.scrollTop = shown.scrollHeight;
  }

  #over(status) {
    this.#status(status);
    if (!this.#find("progress").hasAttribute("value")) this.#progress(0);
    this.#find(".cancel").hidden = true;
    news.textContent = `${this.#title}: ${status}`; // for who does not see it
  }

  #offer(handle, file) {
    const button = this.#find(".download");
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        const response = await handle.download(file);
        const link = document.createElement("a");
        link.href = URL.createObjectURL(await response.blob());
        link.download = file;
        link.click();
        URL.revokeObjectURL(link.href);
      } catch (error) {
        this.#say(error.message);
      }
    });
  }

  #find(selector) {
    return this.#item.querySelector(selector);
  }
}

function told(result, rows) {
  if (result.file !== undefined) return `${result.file}, ${rows} rows`;
  return `${result.words} words`;
}
