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

  // One callback for both directions: the address sets the controls, and the controls set the address.
  function sync(search, ...rest) {
    const none = window.dash_clientside.no_update;
    const context = window.dash_clientside.callback_context;
    const [old, fields, extent] = rest.slice(-3);
    const { defaults, controls, lists, slider } = fields;
    const values = rest.slice(0, controls.length);
    const range = rest[controls.length];
    const known = Object.fromEntries(lists.map((name, i) => [name, rest[rest.length - 3 - lists.length + i] || []]));
    const [low, high] = extent || [0, slider];
    const span = high - low || 1;
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
          view.begin = range[0] <= 0 ? null : rounded(low + (span * range[0]) / slider);
          view.end = range[1] >= slider ? null : rounded(low + (span * range[1]) / slider);
        } else if (one.prop_id.startsWith("{") && one.value) {
          press(view, JSON.parse(one.prop_id.slice(0, one.prop_id.lastIndexOf("}") + 1)), one.value, [low, high]);
        }
      }
      if (view.find !== old.find || !same(view.jobs, old.jobs) || view.sort !== old.sort) view.page = 0;
      if (view.x !== old.x) view.begin = view.end = null;
    }
    const address = encode(view, defaults);
    const place = (end, open) => (end === null ? open : Math.round(((end - low) / span) * slider));
    const places = [place(view.begin, 0), place(view.end, slider)].map((one) => Math.min(Math.max(one, 0), slider));
    const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
    const next = { ...view, dark: dark };
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

  // The range of all plots at once, without a way to the server.
  function range(view, extent) {
    if (!view || !window.Plotly) return window.dash_clientside.no_update;
    const log = (one) => (view.scale_x === "log" ? Math.log10(one) : one);
    const open = view.begin === null && view.end === null;
    const [low, high] = extent || [0, 1];
    const wanted = [view.begin === null ? low : view.begin, view.end === null ? high : view.end].map(log);
    for (const plot of document.querySelectorAll(".js-plotly-plot")) {
      const axis = plot.layout && plot.layout.xaxis;
      if (!axis || !(plot.layout.meta || {}).ranged) continue;
      if (open && axis.autorange !== true) window.Plotly.relayout(plot, { "xaxis.autorange": true });
      if (!open && !same(axis.range, wanted)) window.Plotly.relayout(plot, { "xaxis.range": wanted });
    }
    show(view.moment);
    return [view.begin, view.end];
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
    const thumb = document.querySelector("#moment [role=slider]");
    if (thumb) thumb.setAttribute("aria-labelledby", "moment-label"); // Dash names none
    const share = document.querySelector("#threshold [role=slider]");
    if (share) share.setAttribute("aria-labelledby", "threshold-label");
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
    const height = 500 + 18 * data.filter((one) => one.showlegend !== false).length;
    const legend = { orientation: "v", x: 0, xanchor: "left", y: -0.15, yanchor: "top" };
    const layout = { ...plot.layout, legend: legend, paper_bgcolor: ground.backgroundColor, font: { color: ground.color } };
    window.Plotly.downloadImage({ data: data, layout: layout }, {
      format: "png", width: 900, height: height, scale: 2, filename: id.index.replace(/[^\w]+/g, "_"),
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
    const again = focused && document.activeElement === document.body && document.getElementById(focused);
    if (again) again.focus({ preventScroll: true });
  }).observe(document, { childList: true, subtree: true });

  window.dash_clientside = Object.assign({}, window.dash_clientside, { rrm: { sync, fill, range, stepper, show, picture, decode, encode } });
})();
