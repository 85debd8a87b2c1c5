"use strict";
(() => {
  const find = id => document.getElementById(id);
  const viewer = document.querySelector(".viewer");
  const signed = viewer.dataset.signed === "1";
  const zero = signed ? 128 : 0, span = signed ? 127 : 255;
  const methods = [...document.querySelectorAll('input[name="method"]')];
  const panels = [...document.querySelectorAll(".method")];
  const cards = [...document.querySelectorAll(".cards li")];
  const tint = find("tint");
  const hues = ["R", "G", "B"].map(c => tint.querySelector("feFunc" + c).getAttribute("tableValues").trim().split(" "));

  // As the page without scripts writes its numbers: three significant digits, a true minus sign.
  const number = value => {
    if (value === 0) return "0";
    const text = Math.abs(value) < 1e-4 ? value.toExponential(2) : String(Number(value.toPrecision(3)));
    return text.replace("-", "\u2212").replace(/\.?0+e/, "e").replace("e-", "e\u2212");
  };
  const chosen = name => {
    const input = document.querySelector(`input[name="${name}"]:checked`);
    return input ? input.value : "";
  };
  const current = () => Number(chosen("method"));
  const limitOf = i => Number(methods[i].dataset.limit);
  const common = () => Boolean(find("common") && find("common").checked);
  // Maps with a few high peaks show more once the ends of the scale come nearer; values beyond get the ends' colours.
  const gain = () => [1, 2, 5, 10, 20, 50][Number(find("gain").value)];
  const scaleOf = i => (common() ? Number(find("common").dataset.limit) : limitOf(i)) / gain();

  // The filter of a map: its codes run to its own limit, its colours to the limit of the scale.
  const filterOf = i => {
    let filter = find(`tint-${i}`);
    if (!filter) {
      filter = tint.cloneNode(true);
      filter.id = `tint-${i}`;
      tint.after(filter);
      find(`map-${i}`).setAttribute("filter", `url(#tint-${i})`);
    }
    return filter;
  };
  const color = i => {
    const filter = filterOf(i);
    const ratio = scaleOf(i) > 0 ? limitOf(i) / scaleOf(i) : 1;
    const threshold = Number(find("threshold").value) / 100;
    const sign = chosen("sign") || "both";
    const index = [], strength = [];
    for (let code = 0; code < 256; code++) {
      const value = Math.max(-1, Math.min(1, Math.max(-1, (code - zero) / span) * ratio));
      const away = Math.abs(value) < threshold || (sign === "for" && value < 0) || (sign === "against" && value > 0);
      index.push(Math.min(255, Math.max(0, Math.round(zero + value * span))));
      strength.push(away ? 0 : Math.pow(Math.abs(value), 0.75).toFixed(3));
    }
    ["R", "G", "B"].forEach((c, k) =>
      filter.querySelector("feFunc" + c).setAttribute("tableValues", index.map(j => hues[k][j]).join(" ")));
    filter.querySelector("feFuncA").setAttribute("tableValues", strength.join(" "));
  };
  const label = (legend, i) => {
    const low = legend.querySelector(".low"), beyond = limitOf(i) > scaleOf(i) * (1 + 1e-9);
    if (low) low.textContent = (beyond ? "\u2264 " : "") + number(-scaleOf(i));
    legend.querySelector(".high").textContent =
      (beyond ? "\u2265 " : "") + (signed && scaleOf(i) > 0 ? "+" : "") + number(scaleOf(i));
  };

  const show = () => {
    const i = current(), name = methods[i].parentElement.textContent.trim();
    const opacity = find("opacity").value, threshold = Number(find("threshold").value) / 100 * scaleOf(i);
    methods.forEach((_, k) => color(k));
    document.documentElement.style.setProperty("--opacity", opacity / 100);
    document.documentElement.classList.toggle("hue", Boolean(find("hue") && find("hue").checked));
    const map = find("stage").querySelector(".map");
    map.setAttribute("href", `#map-${i}`);
    find("stage").setAttribute("aria-label", (cards[i] || viewer).querySelector(".stage").getAttribute("aria-label"));
    label(viewer.querySelector(".legend"), i);
    cards.forEach((card, k) => label(card.querySelector(".legend"), k));
    panels.forEach((panel, k) => { panel.hidden = k !== i; });
    find("opacity-value").textContent = `${opacity} %`;
    find("gain-value").textContent = String(gain());
    find("threshold-value").textContent = number(threshold);
    find("status").textContent =
      `${name}: scale to ${number(scaleOf(i))}, opacity ${opacity} %, weaker than ${number(threshold)} hidden`;
  };

  // A card chooses its method.
  cards.forEach((card, i) => {
    const caption = card.querySelector("strong"), button = document.createElement("button");
    button.type = "button";
    button.textContent = `Show ${caption.textContent} large`;
    button.addEventListener("click", () => {
      methods[i].checked = true;
      show();
      viewer.scrollIntoView({block: "start"});
      methods[i].focus({preventScroll: true});
    });
    card.querySelector("figcaption").append(button);
  });
  document.querySelector(".controls").addEventListener("input", show);
  // Folded parts are printed, too.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    folded.forEach(d => { d.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach(d => { d.open = false; }));
  document.documentElement.classList.add("script");
  show();
})();
