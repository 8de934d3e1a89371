// Between the controls, the address and the plots. Everything else is Python.
(function () {
  const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

  function decode(search, defaults) {
    const given = new URLSearchParams(search);
    const view = {};
    for (const [name, value] of Object.entries(defaults)) {
      const text = given.get(name);
      if (text === null) view[name] = value;
      else if (Array.isArray(value)) view[name] = given.getAll(name).filter((one) => one);
      else if (typeof value === "boolean") view[name] = text.toLowerCase() === "true";
      else if (typeof value === "string") view[name] = text;
      else view[name] = text === "" || isNaN(Number(text)) ? value : Number(text);
    }
    return view;
  }

  function encode(view, defaults) {
    const pairs = new URLSearchParams();
    for (const [name, value] of Object.entries(defaults)) {
      if (same(view[name], value)) continue;
      const texts = Array.isArray(value) ? view[name] : [view[name] === null ? "" : view[name]];
      (texts.length ? texts : [""]).forEach((text) => pairs.append(name, typeof text === "boolean" ? (text ? "True" : "False") : text));
    }
    const text = pairs.toString();
    return text ? "?" + text : "";
  }

  // A control holds a text for a choice of a number, and null for nothing.
  function fromControl(value, field) {
    if (Array.isArray(field)) return value || [];
    if (typeof field === "string") return value === null || value === undefined ? field : value;
    return value === null || value === undefined || value === "" ? field : Number(value);
  }
  const toControl = (value, name) => (name === "smooth" ? String(value) : value);

  const toggled = (list, one) => (list.includes(one) ? list.filter((other) => other !== one) : [...list, one]);
  const rounded = (number) => Number(number.toPrecision(5));

  function press(view, id, value, extent) {
    if (id.type === "tab" && view.tab !== id.index) [view.tab, view.picks] = [id.index, []];
    if (id.type === "switch") view[id.index] = !view[id.index];
    if (id.type === "choose") view.runs = id.index === "" ? [] : toggled(view.runs, id.index);
    if (id.type === "hide") view.hidden = toggled(view.hidden, id.index);
    if (id.type === "sort") view.sort = id.to;
    if (id.type === "page") view.page = id.index;
    if (id.type === "plot") {
      const range = value["xaxis.range"] || [value["xaxis.range[0]"], value["xaxis.range[1]"]];
      if (value["xaxis.autorange"]) view.begin = view.end = null;
      else if (typeof range[0] === "number") {
        const [begin, end] = view.scale_x === "log" ? range.map((one) => Math.pow(10, one)) : range;
        view.begin = begin <= extent[0] ? null : rounded(begin);
        view.end = end >= extent[1] ? null : rounded(end);
      }
    }
  }

  // The ground is the one part of a view that no control and no address says.
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  let current = null;
  scheme.addEventListener("change", ({ matches }) => {
    if (current) window.dash_clientside.set_props("view", { data: { ...current, dark: matches } });
  });

  // One callback for both directions: the address sets the controls, and the controls set the address.
  function sync(search, ...rest) {
    const none = window.dash_clientside.no_update;
    const context = window.dash_clientside.callback_context;
    const [old, fields, drawn] = rest.slice(-3);
    const extent = drawn && drawn.extent;
    const { defaults, controls, lists, slider } = fields;
    const values = rest.slice(0, controls.length);
    const range = rest[controls.length];
    const known = Object.fromEntries(lists.map((name, i) => [name, rest[rest.length - 3 - lists.length + i] || []]));
    const [low, high] = extent || [0, slider];
    let view;
    const triggered = context.triggered || [];
    if (!old || triggered.some((one) => one.prop_id === "address.search")) {
      view = decode(search || "", defaults);
    } else {
      view = { ...old };
      delete view.dark;
      controls.forEach((name, i) => {
        const changed = triggered.some((one) => one.prop_id === name + ".value");
        if (changed) view[name] = fromControl(values[i], defaults[name]);
      });
      for (const one of triggered) {
        if (one.prop_id === "range.value" && extent) {
          Object.assign(view, between(range, extent, slider));
        } else if (one.prop_id.startsWith("{") && one.value) {
          press(view, JSON.parse(one.prop_id.slice(0, one.prop_id.lastIndexOf("}") + 1)), one.value, [low, high]);
        }
      }
      if (view.find !== old.find || !same(view.jobs, old.jobs) || view.sort !== old.sort) view.page = 0;
      if (view.x !== old.x) view.begin = view.end = null;
    }
    const address = encode(view, defaults);
    const places = placesOf(view, [low, high], slider);
    const next = { ...view, dark: scheme.matches };
    current = next;
    return [
      address === (search || "") ? none : address,
      ...controls.map((name, i) => {
        const wanted = toControl(view[name], name);
        // A list drops what it cannot offer yet, so it waits for its options.
        if (known[name] && !wanted.every((one) => known[name].includes(one))) return none;
        return same(wanted, values[i]) || (wanted === null && values[i] === undefined) ? none : wanted;
      }),
      same(places, range) ? none : places,
      same(next, old) ? none : next,
    ];
  }

  // Lists get their values once they can offer them. Options come from callbacks on the view, which would be a circle
  // for `sync`, so the values are set by hand.
  function fill(...args) {
    const [view, fields] = args.slice(-2);
    fields.lists.forEach((name, i) => {
      const wanted = view ? view[name] : [];
      if (wanted.length && wanted.every((one) => (args[i] || []).includes(one))) {
        window.dash_clientside.set_props(name, { value: wanted });
      }
    });
  }

  // What the server is asked for: the table of runs by one part of the view, the plots by another. Plots follow a
  // range and a scale without the server; it is asked for finer points once the range has come to rest.
  let later = null;
  function ask(view, drawn, rows, asked, fields) {
    const none = window.dash_clientside.no_update;
    if (!view) return [none, none];
    const without = (names) => Object.fromEntries(Object.entries(view).filter(([name]) => !names.includes(name)));
    const [table, plots] = [without(fields.of_plots), without(fields.of_table)];
    const scales = Object.fromEntries(fields.of_browser.map((name) => [name, view[name]]));
    clearTimeout(later);
    let next = same(plots, asked) ? none : plots;
    if (next !== none && asked && same({ ...asked, ...scales }, plots)) {
      next = none;
      if (view.scale_y !== asked.scale_y || coarse(view, drawn)) {
        later = setTimeout(() => window.dash_clientside.set_props("asked", { data: plots }), REST_MS);
      }
    }
    return [same(table, rows) ? none : table, next];
  }
  const REST_MS = 300;
  // Whether the points that are drawn are too few for a range, or not all of its.
  function coarse(view, drawn) {
    if (!drawn || !drawn.thinned) return false;
    const ends = (of) => [of.begin === null ? -Infinity : of.begin, of.end === null ? Infinity : of.end];
    const [[begin, end], [from, to]] = [ends(view), ends(drawn)];
    const [low, high] = drawn.extent || [0, 0];
    const width = (one, other) => Math.min(other, high) - Math.max(one, low);
    return begin < from || end > to || width(begin, end) < width(from, to) / 2;
  }

  // Range and scales of all plots, without a way to the server: those in sight in the next frame, then one a frame.
  let asked = null;
  let frame = 0;
  function range(view, drawn) {
    if (!view || !window.Plotly) return window.dash_clientside.no_update;
    asked = [view, drawn && drawn.extent];
    frame = frame || requestAnimationFrame(redraw);
    show(view.moment);
    return window.dash_clientside.no_update;
  }
  const done = new WeakMap(); // the range and scales of a layout; a new figure has a new one
  function redraw() {
    const [view, extent] = asked;
    const key = JSON.stringify([view.begin, view.end, view.scale_x, view.scale_y]);
    const stale = [...document.querySelectorAll(".js-plotly-plot")].filter(
      ({ layout }) => layout && (layout.meta || {}).ranged && done.get(layout) !== key);
    const inSight = stale.filter((plot) => {
      const { top, bottom } = plot.getBoundingClientRect();
      return bottom > 0 && top < window.innerHeight;
    });
    const now = inSight.length ? inSight : stale.slice(0, 1);
    for (const plot of now) {
      done.set(plot.layout, key);
      const fields = change(plot.layout, view, extent);
      // An update, other than a relayout, does not tell Dash, which would ask every callback about each plot.
      if (Object.keys(fields).length) window.Plotly.update(plot, {}, fields);
    }
    frame = stale.length > now.length ? requestAnimationFrame(redraw) : 0;
  }
  // What a plot has to change to have the range and scales of a view.
  function change({ xaxis, yaxis, meta }, view, extent) {
    const across = view.scale_x === "log" && !meta.aligned ? "log" : "linear";
    const up = view.scale_y === "panel" ? meta.scale : view.scale_y;
    const [low, high] = extent || [0, 1];
    const open = view.begin === null && view.end === null;
    const ends = [view.begin === null ? low : view.begin, view.end === null ? high : view.end];
    const places = across === "log" ? ends.map((one) => (one > 0 ? Math.log10(one) : null)) : ends;
    const fields = {};
    if (across !== xaxis.type) fields["xaxis.type"] = across;
    if (open && (across !== xaxis.type || xaxis.autorange !== true)) fields["xaxis.autorange"] = true;
    if (!open && !same(xaxis.range, places)) fields["xaxis.range"] = places;
    if (up !== yaxis.type) Object.assign(fields, { "yaxis.type": up, "yaxis.autorange": true, "yaxis.dtick": null });
    return fields;
  }
  // While the thumb of a slider is held.
  function drag(places, view, drawn, fields) {
    if (!places || !view || !drawn || !drawn.extent) return window.dash_clientside.no_update;
    // Dash says so, too, when the thumbs follow the view, whose ends are more exact than places.
    const follows = same(places, placesOf(view, drawn.extent, fields.slider));
    return range(follows ? view : { ...view, ...between(places, drawn.extent, fields.slider) }, drawn);
  }
  function placesOf(view, [low, high], slider) {
    const place = (end, open) => (end === null ? open : Math.round(((end - low) / (high - low || 1)) * slider));
    return [place(view.begin, 0), place(view.end, slider)].map((one) => Math.min(Math.max(one, 0), slider));
  }
  function between(places, extent, slider) {
    const at = (place) => rounded(extent[0] + ((extent[1] - extent[0]) * place) / slider);
    return { begin: places[0] <= 0 ? null : at(places[0]), end: places[1] >= slider ? null : at(places[1]) };
  }

  // Boards at another moment, without a way to the server; the latest one where several are asked for at once.
  let wanted = null;
  function show(moment) {
    if (wanted === null) requestAnimationFrame(draw);
    wanted = moment;
    return moment;
  }
  function draw() {
    const moment = wanted;
    wanted = null;
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const { moments, words } = (plot.layout && plot.layout.meta) || {};
      const at = Math.min(moment, moments - 1);
      if (!moments || plot.moment === at) continue;
      plot.moment = at;
      // Plotly.animate takes twice as long.
      const { data, traces } = plot._transitionData._frames[at];
      const fields = ["x", "y", "z", "text", "customdata"].map((name) => [name, data.map((one) => one[name])]);
      window.Plotly.update(plot, Object.fromEntries(fields), { "title.subtitle.text": words[at] }, traces);
      const thumb = document.querySelector("#moment [role=slider]");
      if (thumb) thumb.setAttribute("aria-valuetext", words[at]);
    }
  }
  function stepper(drawn) {
    const moments = (drawn && drawn.moments) || 0;
    return [moments === 0, Math.max(moments - 1, 1)];
  }
  // Arrow keys step from anywhere on the page that has no use for them.
  document.addEventListener("keydown", (event) => {
    const thumb = document.querySelector("#stepper:not([hidden]) [role=slider]");
    if (!thumb || !event.key.startsWith("Arrow") || document.activeElement !== document.body) return;
    event.preventDefault();
    thumb.focus();
    thumb.dispatchEvent(new KeyboardEvent("keydown", { key: event.key, bubbles: true, cancelable: true }));
  });

  // A picture of one plot, with the legend that the page has in common for all.
  function picture() {
    const none = window.dash_clientside.no_update;
    const id = window.dash_clientside.callback_context.triggered_id;
    const pressed = (window.dash_clientside.callback_context.triggered[0] || {}).value;
    if (!id || !pressed) return none;
    const part = [...document.querySelectorAll(".plot")].find((one) => one.dataset.key === id.index);
    const plot = part && part.querySelector(".js-plotly-plot");
    if (!plot) return none;
    const ground = getComputedStyle(document.body);
    const data = plot.data.map((one) => (one.meta === "line" ? { ...one, showlegend: true } : one));
    const height = Math.max(500, plot.offsetHeight) + 18 * data.filter((one) => one.showlegend !== false).length;
    const legend = { orientation: "v", x: 0, xanchor: "left", y: -75 / height, yanchor: "top" };
    const layout = { ...plot.layout, legend: legend, paper_bgcolor: ground.backgroundColor, font: { color: ground.color } };
    window.Plotly.downloadImage({ data: data, layout: layout }, {
      format: "png", width: (plot.layout.meta || {}).wide ? 1400 : 900, height: height, scale: 2, filename: id.index.replace(/[^\w]+/g, "_"),
    });
    return none;
  }

  // A button that is drawn anew after it was pressed keeps the focus, so that keys can go on from there.
  let focused = "";
  document.addEventListener("focusin", (event) => (focused = event.target.id));
  document.addEventListener("pointerdown", () => (focused = ""));
  // Dash hides these from screen readers, but not from the tabulator key.
  const targets = document.getElementsByClassName("dash-dropdown-focus-target");
  new MutationObserver(() => {
    for (const one of targets) if (one.tabIndex !== -1) one.tabIndex = -1;
    for (const name of ["moment", "threshold"]) { // whose thumbs Dash gives no name
      const thumb = document.querySelector(`#${name} [role=slider]`);
      if (thumb && !thumb.hasAttribute("aria-labelledby")) thumb.setAttribute("aria-labelledby", `${name}-label`);
    }
    const again = focused && document.activeElement === document.body && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  }).observe(document, { childList: true, subtree: true });

  window.dash_clientside = Object.assign({}, window.dash_clientside, { rrm: { sync, fill, ask, range, drag, stepper, show, picture, decode, encode } });
})();
