// Three linked planes of one image, all images side by side; volumes are decoded from sheets of axial slices.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const [nx, ny, nz] = data.shape;
  const size = [[nx, ny], [nx, nz], [ny, nz]]; // columns and rows of the axial, coronal and sagittal plane
  const along = [2, 1, 0]; // the axis that each plane cuts
  const NAMES = ["Axial", "Coronal", "Sagittal"];
  const get = (id) => document.getElementById(id);
  const state = { at: [...data.at], plane: 0, shown: 0, against: 1, black: 0, white: 255, timer: null };

  const decode = (sheet) => new Promise((done, fail) => {
    const image = new Image();
    image.onerror = fail;
    image.onload = () => {
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      const volume = new Uint8Array(nx * ny * nz);
      for (let z = 0, to = 0; z < nz; z++) {
        const left = (z % data.across) * nx, top = Math.floor(z / data.across) * ny;
        for (let y = 0; y < ny; y++) {
          let from = 4 * ((top + y) * image.width + left);
          for (let x = 0; x < nx; x++, from += 4) volume[to++] = pixels[from];
        }
      }
      done(volume);
    };
    image.src = sheet;
  });

  const voxel = (plane, u, v) => {
    const [x, y, z] = state.at;
    if (plane === 0) return [u, v, z];
    return plane === 1 ? [u, y, nz - 1 - v] : [x, u, nz - 1 - v];
  };
  const crosshair = (plane) => {
    const [x, y, z] = state.at;
    return [[x, y], [x, nz - 1 - z], [y, nz - 1 - z]][plane];
  };

  const draw = (canvas, image, plane) => {
    const [width, height] = size[plane];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d"), out = context.createImageData(width, height);
    const fixed = image.kind === "difference" || image.kind === "spread";
    const low = fixed ? 0 : state.black, gain = 255 / Math.max(1, (fixed ? 255 : state.white) - low);
    for (let v = 0, to = 0; v < height; v++) {
      for (let u = 0; u < width; u++, to += 4) {
        const [x, y, z] = voxel(plane, u, v);
        out.data[to] = out.data[to + 1] = out.data[to + 2] = (image.volume[(z * ny + y) * nx + x] - low) * gain;
        out.data[to + 3] = 255;
      }
    }
    context.putImageData(out, 0, 0);
    const [u, v] = crosshair(plane);
    context.fillStyle = "rgba(80, 200, 255, 0.55)";
    context.fillRect(u, 0, 1, v - 4); context.fillRect(u, v + 5, 1, height);
    context.fillRect(0, v, u - 4, 1); context.fillRect(u + 5, v, width, 1);
    context.fillStyle = "#ffd166";
    context.font = "bold 11px sans-serif";
    if (image.kind === "synthetic") context.fillText("SYNTHETIC", 3, height - 4);
    if (plane < 2) { context.fillText("R", 3, height >> 1); context.fillText("L", width - 10, height >> 1); }
  };

  const redraw = () => {
    const image = data.images[state.shown];
    for (let plane = 0; plane < 3; plane++) {
      draw(get(`plane${plane}`), image, plane);
      get(`slice${plane}`).value = state.at[along[plane]];
    }
    data.images.forEach((one, index) => {
      draw(one.canvas, one, state.plane);
      one.figure.classList.toggle("chosen", index === state.shown);
    });
    [get("shown").value, get("against").value, get("plane").value] = [state.shown, state.against, state.plane];
    const told = NAMES.map((name, plane) => `${name} ${state.at[along[plane]] + 1}/${data.shape[along[plane]]}`);
    get("where").textContent = `${image.label} · ${told.join(" · ")}`;
  };
  let waiting = false;
  const later = () => {
    if (!waiting) { waiting = true; requestAnimationFrame(() => { waiting = false; redraw(); }); }
  };
  const move = (axis, value) => {
    state.at[axis] = Math.min(data.shape[axis] - 1, Math.max(0, Math.round(value)));
    later();
  };
  const choose = (index) => { // the image that was shown is the one to compare with, where both would be one
    if (index === state.against) state.against = state.shown;
    state.shown = index;
    later();
  };
  const swap = () => { [state.shown, state.against] = [state.against, state.shown]; later(); };
  const flicker = () => {
    if (state.timer) { clearInterval(state.timer); state.timer = null; } else state.timer = setInterval(swap, 500);
    get("flicker").setAttribute("aria-pressed", String(Boolean(state.timer)));
  };

  const listen = (canvas, plane, choose) => {
    const point = (event) => {
      const box = canvas.getBoundingClientRect();
      const u = Math.floor((event.clientX - box.left) / box.width * canvas.width);
      const v = Math.floor((event.clientY - box.top) / box.height * canvas.height);
      voxel(plane(), u, v).forEach((value, axis) => move(axis, value));
    };
    canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); choose(); point(event); });
    canvas.addEventListener("pointermove", (event) => { if (event.buttons) point(event); });
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const axis = along[plane()];
      move(axis, state.at[axis] - Math.sign(event.deltaY));
    }, { passive: false });
  };

  const keys = {
    ArrowUp: () => step(1), ArrowDown: () => step(-1), PageUp: () => step(10), PageDown: () => step(-10),
    ArrowRight: () => turn(1), ArrowLeft: () => turn(-1), " ": swap, f: flicker,
    a: () => choosePlane(0), c: () => choosePlane(1), s: () => choosePlane(2),
  };
  const step = (by) => move(along[state.plane], state.at[along[state.plane]] + by);
  const turn = (by) => choose((state.shown + by + data.images.length) % data.images.length);
  const choosePlane = (plane) => { state.plane = plane; later(); };

  const build = () => {
    data.images.forEach((image, index) => {
      for (const id of ["shown", "against"]) get(id).add(new Option(image.label, index));
      image.figure = document.createElement("figure");
      image.canvas = document.createElement("canvas");
      image.canvas.setAttribute("role", "img");
      image.canvas.setAttribute("aria-label", `${image.label}, ${image.kind}`);
      const caption = document.createElement("figcaption");
      caption.textContent = ["synthetic", "acquired"].includes(image.kind) ? `${image.label} (${image.kind})` : image.label;
      image.figure.append(image.canvas, caption);
      get("tiles").append(image.figure);
      listen(image.canvas, () => state.plane, () => choose(index));
    });
    for (let plane = 0; plane < 3; plane++) {
      listen(get(`plane${plane}`), () => plane, () => { state.plane = plane; });
      get(`slice${plane}`).max = data.shape[along[plane]] - 1;
      get(`slice${plane}`).addEventListener("input", (event) => move(along[plane], Number(event.target.value)));
    }
    get("shown").addEventListener("input", (event) => choose(Number(event.target.value)));
    for (const id of ["black", "white", "against", "plane"]) {
      get(id).addEventListener("input", (event) => { state[id] = Number(event.target.value); later(); });
    }
    get("swap").addEventListener("click", swap);
    get("flicker").addEventListener("click", flicker);
    document.addEventListener("keydown", (event) => {
      const typing = ["INPUT", "SELECT", "BUTTON", "SUMMARY"].includes(event.target.tagName);
      if (typing || event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
    get("stills").hidden = true;
    get("viewer").hidden = false;
    redraw();
    document.body.dataset.ready = "yes";
  };

  Promise.all(data.images.map((image) => image.sheet && decode(image.sheet))).then((volumes) => {
    data.images.forEach((image, index) => { image.volume = volumes[index]; });
    data.images.forEach((image, index) => {
      if (image.kind !== "difference") return;
      const made = data.images[index - 1].volume, truth = data.images.find((one) => one.kind === "acquired" && one.label === image.of).volume;
      image.volume = Uint8Array.from(made, (value, place) => Math.min(255, Math.max(0, 128 + value - truth[place])));
    });
    build();
  });
})();
