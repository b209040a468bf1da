// What scripts ask for themselves, at absolute paths and at relative ones; `settled` is a promise of an end to it all.
"use strict";

const text = (id, value) => { document.getElementById(id).textContent = value; };

async function greeting(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new Error(answer.status);
  return (await answer.json()).greeting;
}

function echo(url) {
  const place = new URL(url, document.baseURI);
  place.protocol = place.protocol.replace("http", "ws");
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(place);
    socket.onopen = () => socket.send("hello");
    socket.onmessage = event => { socket.close(); resolve(event.data); };
    socket.onclose = event => reject(new Error(event.code));
  });
}

async function worker() {
  const container = navigator.serviceWorker;
  const controlled = container.controller || new Promise(resolve => container.addEventListener("controllerchange", resolve, { once: true }));
  await container.register("/worker.js");
  await controlled;
  return (await fetch("/from-the-worker")).text();
}

async function cookies() {
  return document.cookie.split("; ").map(pair => pair.split("=")[0]).sort().join(", ") || "none";
}

const tasks = {
  "cookies": cookies(),
  "fetch": greeting("/api/greeting"),
  "fetch-relative": greeting("api/greeting"),
  "websocket": echo("/ws"),
  "websocket-relative": echo("ws"),
  "worker": worker(),
};

const settled = Promise.allSettled(
  Object.entries(tasks).map(([id, task]) => task.then(value => text(id, value), error => text(id, `failed (${error.name}: ${error.message})`)))
);
