// A service worker: it answers one path itself, and leaves everything else alone.
"use strict";

self.addEventListener("install", () => self.skipWaiting());
self.addEventListener("activate", event => event.waitUntil(self.clients.claim()));
self.addEventListener("fetch", event => {
  if (new URL(event.request.url).pathname === "/from-the-worker") event.respondWith(new Response("hello from the service worker"));
});
