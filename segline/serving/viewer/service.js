// The server that this page came from: its models and jobs. An error is the one line that the server gives.
"use strict";

segline.KEY = "segline-key";
segline.BUSY = [429, 503];

segline.wait = (seconds, signal) => new Promise((done, stopped) => {
  const timer = setTimeout(done, 1000 * seconds);
  signal?.addEventListener("abort", () => {
    clearTimeout(timer);
    stopped(signal.reason);
  }, { once: true });
});

segline.ask = async (path, { headers = {}, ...options } = {}) => {
  const key = sessionStorage.getItem(segline.KEY);
  const authorised = key ? { ...headers, Authorization: `Bearer ${key}` } : headers;
  let answer;
  try {
    // without a leading slash: the page may lie behind a prefix
    answer = await fetch(`v1/${path}`, { ...options, headers: authorised, cache: "no-store" });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Error("the server cannot be reached");
  }
  if (answer.ok) return answer;
  const error = new Error(await segline.reason(answer));
  throw Object.assign(error, { status: answer.status, after: Number(answer.headers.get("Retry-After")) || 2 });
};

segline.reason = async (answer) => {
  const text = await answer.text();
  try {
    const { error, detail } = JSON.parse(text);
    const told = error ?? detail;
    return typeof told === "string" ? told : JSON.stringify(told ?? JSON.parse(text));
  } catch {
    return `the server answered ${answer.status} ${answer.statusText}`.trim();
  }
};

segline.models = async () => (await segline.ask("models")).json();

// A job from upload to answer; `told` hears of its state. Cancelled here, it is cancelled there.
segline.predict = async (upload, model, signal, told) => {
  const { id } = await segline.queued(upload, model, signal, told);
  try {
    for (let pause = 0.2; ; pause = Math.min(1.5 * pause, 2)) {
      const job = await (await segline.ask(`jobs/${id}`, { signal })).json();
      if (job.status === "done") return { id, ...job };
      if (job.status === "failed") throw new Error(job.error || "the server gave no reason");
      if (job.status === "cancelled") throw new Error("the server cancelled the job");
      told(job.status, job.progress);
      await segline.wait(pause, signal);
    }
  } catch (error) {
    if (signal.aborted) await segline.ask(`jobs/${id}`, { method: "DELETE" }).catch(() => {});
    throw error;
  }
};

// A full queue says when to come again.
segline.queued = async ({ body, headers }, model, signal, told) => {
  const path = model ? `jobs?model=${encodeURIComponent(model)}` : "jobs";
  for (;;) {
    try {
      return await (await segline.ask(path, { method: "POST", body, headers, signal })).json();
    } catch (error) {
      if (!segline.BUSY.includes(error.status)) throw error;
      told(`the server is busy; trying again in ${error.after} s`);
      await segline.wait(error.after, signal);
    }
  }
};

// A job's `mask` or `volume` as a file.
segline.fetched = async (id, what, name, signal) =>
  new File([await (await segline.ask(`jobs/${id}/${what}`, { signal })).blob()], name);
