// @ts-check
// Keeps the page for use without a network, and says when a newer version lies ready.

/** @param {HTMLElement} place */
export async function keepOffline(place) {
  if (!("serviceWorker" in navigator)) return;
  try {
    const registration = await navigator.serviceWorker.register("sw.js", { updateViaCache: "none" });
    const tell = () => {
      const { active, waiting } = registration;
      if (waiting && active) offer(place, waiting);
      else if (active) place.textContent = "This page works without a network.";
    };
    registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", tell));
    tell();
  } catch {
    place.textContent = "This page is not kept for use without a network here.";
  }
}

/** @param {HTMLElement} place @param {ServiceWorker} waiting */
function offer(place, waiting) {
  const button = Object.assign(document.createElement("button"), { type: "button", className: "quiet", textContent: "Reload with it" });
  button.onclick = () => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = ({ data }) => {
      if (data !== "alone") place.replaceChildren("A newer version is ready; close the other tabs of this page first. ", button);
    };
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    waiting.postMessage("take over", [port2]);
  };
  place.replaceChildren("A newer version is ready. ", button);
}
