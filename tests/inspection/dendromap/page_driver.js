// What a reader does, in the page itself; what came of it is left in the document.
(async () => {
  const said = {}, { state, draw, tree } = window.dendromap, map = document.getElementById("map");
  const key = name => document.body.dispatchEvent(
    new KeyboardEvent("keydown", { key: name, bubbles: true }));
  const click = (x, y) => map.dispatchEvent(new MouseEvent("click", {
    clientX: map.getBoundingClientRect().left + x, clientY: map.getBoundingClientRect().top + y,
    bubbles: true }));
  const find = text => {
    document.getElementById("find").value = text;
    document.getElementById("find").dispatchEvent(new Event("change"));
  };
  await new Promise(done => setTimeout(done, 300));
  said.root = state.node;
  click(6, 24);                     // the label band of the first box
  said.zoomed = state.node;
  key("Escape");
  said.out = state.node;
  find("7");
  said.found = [state.item, state.marked];
  find("<script>alert(1)<\/script>");
  said.marked = state.marked;
  find("");
  find("nobody");
  said.status = document.getElementById("status").textContent;
  key("ArrowRight");
  const before = state.item;
  key("ArrowLeft");
  said.steps = [before, state.item];
  key("Enter");
  said.entered = state.node;
  key("Escape"); key("Escape"); key("Escape"); key("Escape"); key("Escape");
  const k = document.getElementById("k");
  k.value = 200; k.dispatchEvent(new Event("input"));
  said.k = state.k;
  said.panel = document.getElementById("item").textContent;
  said.rows = document.querySelectorAll("#classes tr").length;
  document.querySelector("#classes tr:nth-child(2)").click();
  said.clicked = state.marked;
  state.marked = -1;
  const times = [];
  for (let i = 0; i < 20; i++) {
    const begin = performance.now();
    draw();
    times.push(performance.now() - begin);
  }
  said.milliseconds = times.sort((a, b) => a - b)[10];
  const pixels = map.getContext("2d").getImageData(0, 0, map.width, map.height).data;
  said.colors = new Set(new Uint32Array(pixels.buffer)).size;
  said.requests = performance.getEntriesByType("resource")
    .filter(entry => !entry.name.startsWith("data:")).length;
  const left = document.createElement("pre");
  left.id = "said";
  left.textContent = JSON.stringify(said);
  document.body.append(left);
})();
