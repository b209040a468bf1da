/* What the pages do in the browser.  Values go in as text and as attributes from a fixed list, never as HTML;
   every page works without this. */

const $ = (query, at = document) => at.querySelector(query);
const $$ = (query, at = document) => [...at.querySelectorAll(query)];
const root = document.body.dataset.root ?? '';

const say = text => { const at = $('#say'); if (at) at.textContent = text; };
const make = (name, properties = {}, ...inside) => {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...inside);
  return element;
};
const drawn = name => {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS(svg.namespaceURI, 'use');
  svg.setAttribute('class', 'ico s');
  svg.setAttribute('aria-hidden', 'true');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
};
const store = {
  get(key) {
    try { const found = JSON.parse(localStorage.getItem(key)); return Array.isArray(found) ? found : []; } catch { return []; }
  },
  set(key, value) { try { localStorage.setItem(key, JSON.stringify(value)); } catch { /* full or forbidden */ } },
};
const TARGET = /^\/api\/v1\/(?:namespaces\/([^/]+)\/)?(services|pods|nodes)\/([^/]+)\/proxy(\/.*)$/;
const PINS = 'bastion.pins', RECENT = 'bastion.recent', KEYS = 'bastion.keys';
const MOST_PINS = 12, MOST_RECENT = 6, MOST_TILES = 6;

/* --- what needs script is shown only where there is some */
$$('[data-copy], [data-open], .star, [data-needs-script]').forEach(element => { element.hidden = false; });

/* --- times in the reader's own zone */
const local = at => {
  const time = new Date(at.dateTime);
  if (Number.isNaN(+time)) return;
  at.title = at.title || at.textContent;
  const near = Math.abs(Date.now() - time) < 72e6;
  at.textContent = near ? time.toLocaleTimeString() : time.toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' });
};
$$('time').forEach(local);

/* --- copying */
document.addEventListener('click', async event => {
  const button = event.target.closest('[data-copy]');
  if (!button) return;
  const code = $('code', button.parentElement);
  try { await navigator.clipboard.writeText(code.textContent); } catch {
    getSelection().selectAllChildren(code);
    say('Selected: copy it with the keyboard.');
    return;
  }
  const use = $('use', button);
  use.setAttribute('href', '#i-check');
  say('Copied.');
  setTimeout(() => use.setAttribute('href', '#i-copy'), 1600);
});

/* --- dialogs and menus; a dialog gives the focus back by itself */
document.addEventListener('click', event => {
  const opens = event.target.closest('[data-open]'), closes = event.target.closest('[data-close]');
  if (opens) document.getElementById(opens.dataset.open).showModal();
  if (closes) closes.closest('dialog').close();
  if (event.target.matches('dialog')) event.target.close();
  for (const menu of $$('.menu[open]')) if (!menu.contains(event.target)) menu.open = false;
  const end = event.target.closest('[data-end]');
  if (end && $('#end')) {
    event.preventDefault();
    $('#end-who').textContent = end.dataset.end;
    $('#end-go').onclick = () => end.form.submit();
    $('#end').showModal();
  }
});
document.addEventListener('keydown', event => {
  if (event.key !== 'Escape') return;
  for (const menu of $$('.menu[open]')) { menu.open = false; $('summary', menu).focus(); }
});
document.addEventListener('submit', event => { if ($('[data-sign-out]', event.target)) store.set(RECENT, []); });

/* --- a row of the portal: filter, keys, pins, commands */
const items = () => $$('.item');
const list = $('#list');
const box = $('#q');
if (list && box) {
  const folded = 'folded' in list.dataset;
  const show = $('#show');
  const whole = [...list.children];
  let only = $('[aria-current]', show)?.dataset.show ?? 'all';
  const fits = item => box.value.toLowerCase().split(/\s+/).every(word => item.dataset.find.includes(word)) &&
    (only !== 'trouble' || /^(deg|down)$/.test(item.dataset.state));
  const address = () => {
    const query = new URLSearchParams(location.search);
    for (const [name, value] of [['q', box.value], ['show', only === 'trouble' ? only : '']]) {
      if (value) query.set(name, value); else query.delete(name);
    }
    const text = query.toString();
    history.replaceState(null, '', text ? `?${text}` : location.pathname);
  };
  const shown = () => items().filter(item => !item.hidden && item.closest('#list'));
  const told = (n, total) => {
    $('#none').hidden = n > 0;
    $('#none-q').textContent = box.value;
    say(n === total ? `${total} shown` : `${n} of ${total}`);
  };
  const filter = () => {
    address();
    if (folded) return void ask();
    let n = 0;
    for (const item of items()) n += !(item.hidden = !fits(item));
    for (const group of $$('.group')) group.hidden = !$('.item:not([hidden])', group);
    told(n, items().length);
  };

  /* more than a page holds: the server filters */
  const built = one => {
    const row = $('#row').content.firstElementChild.cloneNode(true);
    const set = (query, text) => { $(query, row).textContent = text; };
    row.dataset.ref = one.ref;
    row.dataset.kind = one.kind;
    row.dataset.find = `${one.title} ${one.namespace} ${one.name}`.toLowerCase();
    row.hidden = false;
    for (const name of ['href', 'path']) delete row.dataset[name];
    if (one.url) row.dataset.href = one.url;
    if (one.path) row.dataset.path = one.path;
    const link = $('.name a', row);
    link.textContent = one.title;
    link.href = new URL(one.page).pathname;
    $('.name p', row).textContent = [one.namespace ? `${one.namespace}/${one.name}` : one.name, one.description].filter(Boolean).join(' · ');
    $('.ports', row).replaceChildren(...one.ports.map(port => {
      const chip = port.url ? make('a', { className: 'chip', href: port.url }) : make('span', { className: 'chip' });
      chip.append(`${port.name} `, make('b', { textContent: port.port }));
      return chip;
    }));
    const open = $('.acts .soft', row);
    if (one.url) { open.href = one.url; open.setAttribute('aria-label', `Open ${one.title}`); } else open.remove();
    const commands = $('[data-commands]', row);
    commands.href = `${link.pathname}#reach`;
    commands.setAttribute('aria-label', `Commands for ${one.title}`);
    $('.star', row).setAttribute('aria-label', `Pin ${one.title}`);
    $('.star', row).hidden = false;
    const state = { up: 'up', degraded: 'deg', down: 'down', maintenance: 'main' }[one.state] ?? 'none';
    values(row, [one.ref, state, one.state[0].toUpperCase() + one.state.slice(1), one.milliseconds ? `${Math.round(one.milliseconds * 10) / 10} ms` : '', one.ready, one.endpoints, '']);
    return row;
  };
  const found = async more => {
    const query = new URLSearchParams(location.search);
    query.delete('group');
    for (const [name, value] of Object.entries({ limit: '100', ...more })) query.set(name, value);
    const answer = await fetch(`${root}/ui/catalog?${query}`, { headers: { Accept: 'application/json' } });
    if (!answer.ok) throw new Error(answer.statusText);
    return answer.json();
  };
  let later, asked = 0;
  const ask = () => {
    clearTimeout(later);
    if (!box.value && only !== 'trouble') { list.replaceChildren(...whole); told(1, 1); say(''); return; }
    later = setTimeout(async () => {
      const mine = ++asked;
      const answer = await found({}).catch(() => null);
      if (!answer || mine !== asked) return;
      list.replaceChildren(make('section', { className: 'group' }, make('ul', { className: 'card' }, ...answer.items.map(built))));
      told(answer.items.length, answer.total);
      stars();
    }, 150);
  };
  for (const group of $$('details.group')) group.addEventListener('toggle', async () => {
    const rows = $('ul', group);
    if (!group.open || rows.children.length) return;
    const answer = await found({ group: group.dataset.group, limit: '500' }).catch(() => null);
    if (!answer) return;
    rows.replaceChildren(...answer.items.map(built));
    $('.more', group).hidden = answer.items.length === answer.total;
    stars();
  });

  box.addEventListener('input', filter);
  box.form.addEventListener('submit', event => {
    event.preventDefault();
    $('.name a', shown()[0] ?? document.createElement('i'))?.focus();
  });
  show.addEventListener('click', event => {
    const chip = event.target.closest('a');
    if (!chip || !/^(all|trouble)$/.test(chip.dataset.show) || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    only = chip.dataset.show;
    for (const one of $$('a', show)) { if (one === chip) one.setAttribute('aria-current', 'true'); else one.removeAttribute('aria-current'); }
    filter();
  });
  $('#clear').addEventListener('click', event => {
    event.preventDefault();
    box.value = '';
    $('[data-show=all]', show).click();
    box.focus();
  });
  if (box.value && folded) ask();

  const step = by => {
    const all = shown().map(item => $('.name a', item));
    const at = all.findIndex(link => link.closest('.item').contains(document.activeElement));
    (at + by < 0 ? box : all[Math.min(at + by, all.length - 1)])?.focus();
  };
  const single = () => store.get(KEYS)[0] !== 'off';
  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey || $('dialog[open]')) return;
    const typing = event.target === box, item = event.target.closest?.('.item');
    const does = {
      '/': () => !typing && single() && (box.focus(), box.select(), true),
      '?': () => !typing && single() && ($('#keys').showModal(), true),
      Escape: () => typing && (box.value = '', filter(), true),
      ArrowDown: () => (step(1), true),
      ArrowUp: () => (item || typing) && (step(-1), true),
      o: () => item && single() && ($('.acts .soft', item)?.click(), true),
      p: () => item && single() && ($('.star', item).click(), true),
      c: () => item && single() && (offer(item), true),
    }[event.key];
    if (does?.()) event.preventDefault();
  });

  const rail = $('#rail'), hint = rail.firstElementChild;
  const tiles = () => {
    const pins = store.get(PINS);
    const wanted = [...pins.map(ref => [ref, true]), ...store.get(RECENT).filter(ref => !pins.includes(ref)).map(ref => [ref, false])];
    const there = new Map(items().map(item => [item.dataset.ref, item]));
    const found = wanted.map(([ref, pinned]) => [there.get(ref), pinned]).filter(([item]) => item?.dataset.href).slice(0, MOST_TILES);
    return found.map(([item, pinned]) => make('a', { className: 'card tile', href: item.dataset.href },
      $('.mark', item).cloneNode(true),
      make('span', {}, make('b', { textContent: $('.name a', item).textContent }), make('small', { textContent: pinned ? 'Pinned' : 'Recent' })),
      $('.health .st', item).cloneNode(true)));
  };
  const stars = () => {
    const pins = store.get(PINS);
    const shownTiles = tiles();
    rail.replaceChildren(...(shownTiles.length ? shownTiles : [hint]));
    for (const item of items()) $('.star', item).setAttribute('aria-pressed', pins.includes(item.dataset.ref));
  };
  document.addEventListener('bastion:values', stars);
  document.addEventListener('click', event => {
    const item = event.target.closest('.item');
    if (!item) return;
    const ref = item.dataset.ref;
    if (event.target.closest('.star')) {
      const pins = store.get(PINS), pinned = pins.includes(ref);
      store.set(PINS, pinned ? pins.filter(one => one !== ref) : [...pins, ref].slice(-MOST_PINS));
      stars();
      say(pinned ? 'No longer pinned.' : 'Pinned.');
    }
    if (event.target.closest('.acts .soft')) store.set(RECENT, [ref, ...store.get(RECENT).filter(one => one !== ref)].slice(0, MOST_RECENT));
    if (event.target.closest('[data-commands]') && !event.ctrlKey && !event.metaKey) { event.preventDefault(); offer(item); }
  });

  const offer = item => {
    const path = item.dataset.path, [, namespace, kind, id, rest] = TARGET.exec(path ?? '') ?? [];
    if (!kind) return;
    const target = [{ services: 'svc', pods: 'pod', nodes: 'node' }[kind], namespace, id].filter(Boolean).join('/') + (rest === '/' ? '' : rest);
    $('#cmd-h').textContent = $('.name a', item).textContent;
    $('#cmd-list').replaceChildren(...JSON.parse($('#cmd-list').dataset.commands).map(([name, text]) => {
      const button = make('button', { className: 'btn plain icon', type: 'button' }, drawn('copy'));
      button.dataset.copy = '';
      button.setAttribute('aria-label', `Copy ${name}`);
      const pre = make('pre', { tabIndex: 0 }, make('code', { textContent: text.replaceAll('{path}', path).replaceAll('{target}', target) }));
      return make('div', { className: 'cmd' }, make('span', { textContent: name }), make('div', { className: 'code' }, pre, button));
    }));
    $('#commands').showModal();
  };
  stars();
}

/* --- a star on a target's own page */
const star = $('.star[data-pin]');
if (star) {
  const draw = () => star.setAttribute('aria-pressed', store.get(PINS).includes(star.dataset.pin));
  star.addEventListener('click', () => {
    const pins = store.get(PINS), ref = star.dataset.pin;
    store.set(PINS, pins.includes(ref) ? pins.filter(one => one !== ref) : [...pins, ref].slice(-MOST_PINS));
    draw();
    say(store.get(PINS).includes(ref) ? 'Pinned.' : 'No longer pinned.');
  });
  draw();
}

/* --- whoever speaks to the computer turns single keys off (WCAG 2.1.4) */
const keys = $('#single');
if (keys) {
  keys.checked = store.get(KEYS)[0] !== 'off';
  keys.addEventListener('change', () => store.set(KEYS, keys.checked ? [] : ['off']));
}

/* --- bars of a history: what one was, under the pointer */
const LETTERS = { u: 'no trouble', g: 'degraded', d: 'down', m: 'maintenance', n: 'not probed' };
for (const bars of $$('[data-code]')) {
  const code = bars.dataset.code, n = code.length, { step, end } = bars.closest('[data-step]').dataset;
  const style = step < 86400 ? { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' } : { day: 'numeric', month: 'short' };
  const note = at => `${new Date(Date.parse(end) - (n - 1 - at) * step * 1000).toLocaleString(undefined, style)}: ${LETTERS[code[at]]}`;
  const tip = make('span', { className: 'tip', hidden: true });
  tip.setAttribute('aria-hidden', 'true');
  bars.parentElement.append(tip);
  bars.addEventListener('pointermove', event => {
    const place = bars.getBoundingClientRect();
    tip.textContent = note(Math.min(n - 1, Math.max(0, Math.floor((event.clientX - place.left) / place.width * n))));
    tip.hidden = false;
    const half = tip.offsetWidth / 2;
    tip.style.left = `${Math.min(Math.max(event.clientX - place.left, half), place.width - half)}px`;
  });
  bars.addEventListener('pointerleave', () => { tip.hidden = true; });
}

/* --- live values */
const STATES = /^(up|deg|down|main|none)$/, PATH = /^[-MLmlv0-9. ]+$/;
function values(row, [, state, word, latency, ready, of, path]) {
  if (!STATES.test(state)) return;
  row.dataset.state = state;
  const st = $('.st', row);
  st.classList.remove('up', 'deg', 'down', 'main', 'none');
  st.classList.add(state);
  $('use', st).setAttribute('href', `#s-${state}`);
  $('span', st).textContent = word;
  const put = (query, text) => { const at = $(query, row); if (at && at.textContent !== text) at.textContent = text; };
  put('.ms', latency);
  put('.ready b', String(ready));
  put('.ready b + span', String(of));
  const place = $('.ready', row), line = $('.spark path', row);
  if (place) place.hidden = !of;
  if (line && (path === '' || PATH.test(path))) {
    line.setAttribute('d', path);
    const end = $('.spark .end', row), last = path.match(/([\d.]+) ([\d.]+)$/);
    if (end && last) { end.setAttribute('cx', last[1]); end.setAttribute('cy', last[2]); }
  }
}

function verdict([, state, title]) {
  const place = $('[data-verdict]');
  if (!place || !STATES.test(state)) return;
  place.className = `verdict ${state}`;
  $('use', place).setAttribute('href', `#s-${state}`);
  $('h1', place).textContent = title;
}

const live = $('#live');
if (live) {
  const STALE = 12_000;
  const page = document.body.dataset.live, news = $('#news');
  let source, heard = Date.now(), paused = false, over = false, at = new Date(document.body.dataset.at);
  const badge = (kind, text, title) => {
    live.classList.remove('is-live', 'is-paused', 'is-stale');
    live.classList.add(`is-${kind}`);
    $('span', live).textContent = text;
    live.title = title;
  };
  const tell = (bold, text, link = false) => {
    news.hidden = !bold;
    $('b', news).textContent = bold;
    $('span > span', news).textContent = text;
    $('a', news).hidden = !link;
  };
  const fresh = () => {
    heard = Date.now();
    if (paused || over) return;
    document.body.classList.remove('stale');
    tell('', '');
    badge('live', 'Live', 'Pause updates');
  };
  const stale = () => {
    if (document.body.classList.contains('stale')) return;
    document.body.classList.add('stale');
    const time = at.toLocaleTimeString();
    badge('stale', `As of ${time}, reconnecting`, 'Pause updates');
    tell(`This is what was known at ${time}.`, 'bastion has not been heard of since; trying again every few seconds.');
  };
  const take = event => {
    const found = JSON.parse(event.data);
    at = new Date(found.at * 1000);
    fresh();
    const there = new Map($$('[data-ref]').map(row => [row.dataset.ref, row]));
    for (const row of found.rows ?? []) {
      const place = there.get(row[0]);
      if (row[0] === 'verdict') verdict(row); else if (place && $('.st', place)) values(place, row);
    }
    for (const ref of found.gone ?? []) there.get(ref)?.remove();
    if (found.all) for (const row of $$('tr[data-ref]')) if (!found.all.includes(row.dataset.ref)) row.remove();
    for (const [name, text] of Object.entries(found.stats ?? {})) {
      for (const place of $$('[data-stat]')) if (place.dataset.stat === name && place.textContent !== text) place.textContent = text;
    }
    const waiting = $('#waiting');
    if (waiting && 'waiting' in found) waiting.textContent = found.waiting;
    if (found.news && !$('#fresh-rows')) {
      const link = make('a', { className: 'btn', id: 'fresh-rows', href: location.href, textContent: `${found.news} new: show` });
      list?.before(make('p', {}, link));
    } else if (found.news) $('#fresh-rows').textContent = `${found.news} new: show`;
    document.dispatchEvent(new Event('bastion:values'));
  };
  const close = () => { source?.close(); source = undefined; };
  const end = why => {
    over = true;
    close();
    document.body.classList.add('stale');
    badge('stale', 'Ended', '');
    tell(`${why}.`, 'What is shown here is no longer kept up to date.', true);
  };
  const open = () => {
    if (source || paused || over || document.visibilityState !== 'visible') return;
    const query = new URLSearchParams(location.search);
    query.set('for', page);
    query.set('path', location.pathname);
    source = new EventSource(`${root}/ui/events?${query}`);
    source.addEventListener('values', take);
    source.addEventListener('beat', event => { at = new Date(JSON.parse(event.data).at * 1000); fresh(); });
    source.addEventListener('end', event => end(JSON.parse(event.data).why));
    source.addEventListener('error', async () => {
      if (source?.readyState !== EventSource.CLOSED) return;
      close();
      const answer = await fetch(`${root}/ui/catalog?limit=0`).catch(() => null);
      if (answer?.status === 401) end('Your session has ended'); else setTimeout(open, 3000);
    });
  };
  setInterval(() => {
    if (paused || over || document.visibilityState !== 'visible') return;
    if (Date.now() - heard > STALE) stale();
  }, 500);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') { heard = Date.now(); open(); } else close();
  });
  live.addEventListener('click', () => {
    if (over) return;
    paused = !paused;
    heard = Date.now();
    if (paused) { close(); badge('paused', `Paused at ${at.toLocaleTimeString()}`, 'Go on updating'); tell('', ''); } else { open(); }
    say(paused ? 'Updates are paused.' : 'Updates go on.');
  });
  addEventListener('pagehide', close);
  open();
}

/* --- pages that look again by themselves, until told not to */
const again = $('[data-retry]');
if (again && +again.dataset.retry) {
  const key = `bastion.retry:${location.pathname}`, words = again.textContent, stop = $('#stop');
  const times = +(sessionStorage.getItem(key) ?? 0);
  let left = Math.min(60, +again.dataset.retry * 2 ** Math.min(times, 3));
  const count = () => { again.textContent = `${words} (${left} s)`; };
  stop.hidden = false;
  count();
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return count();
    clearInterval(timer);
    sessionStorage.setItem(key, String(times + 1));
    location.reload();
  }, 1000);
  stop.addEventListener('click', () => { clearInterval(timer); again.textContent = words; stop.hidden = true; say('Stopped trying.'); again.focus(); });
}
const soon = $('[data-again]');
if (soon) {
  const wait = +soon.dataset.again * 1000;
  const look = async () => {
    const answer = await fetch(`${root}/ui/catalog?limit=0`).catch(() => null);
    if (answer && answer.status !== 503) location.reload(); else setTimeout(look, wait);
  };
  setTimeout(look, wait);
}
