// Bundles the query page into graphiql/, next to this file. Run through `make web`.
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { build } from "esbuild";

const OUT = "graphiql";

await rm(OUT, { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: {
    graphiql: "graphiql.jsx",
    "editor.worker": "monaco-editor/esm/vs/editor/editor.worker.js",
    "json.worker": "monaco-editor/esm/vs/language/json/json.worker.js",
    "graphql.worker": "monaco-graphql/esm/graphql.worker.js",
  },
  outdir: OUT,
  bundle: true,
  splitting: true, // graphql-js is shared with its worker; the formatter loads when it is first used
  format: "esm",
  target: "es2022",
  minify: true,
  jsx: "automatic",
  loader: { ".ttf": "file", ".graphql": "text" },
  // Names with a hash of the content: browsers keep the files for ever.
  entryNames: "[name]-[hash]",
  // GraphiQL asks for these by the names of CommonJS files, whose exports esbuild loses when it splits
  // (its issue 4377); the same parsers as modules.
  alias: {
    "prettier/parser-babel": "prettier/plugins/babel",
    "prettier/parser-graphql": "prettier/plugins/graphql",
  },
  legalComments: "none", // the whole licence texts are in LICENSES.txt
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
  metafile: true,
});
const outputs = await dropUnlinkedStyles(metafile.outputs);
const bundled = Object.values(metafile.outputs).flatMap((output) => Object.keys(output.inputs));
await Promise.all(outputs.map(compress));
await writeFile(join(OUT, "index.html"), await page());
// The last file: make takes it for a sign that the others are there.
await writeFile(join(OUT, "LICENSES.txt"), await licences(bundled));

/** The page, with the names of the entry points in it. */
async function page() {
  let text = await readFile("graphiql.html", "utf8");
  for (const path of outputs) {
    const [, name, extension] = basename(path).match(/(.*)-\w+(\.\w+)/);
    text = text.replaceAll(new RegExp(`(?<=["/])${name}\\${extension}(?=")`, "g"), basename(path));
  }
  return text;
}

/** Write a file once more for browsers that take it compressed: all do. */
async function compress(path) {
  const content = await readFile(path);
  const quality = { params: { [constants.BROTLI_PARAM_QUALITY]: 9, [constants.BROTLI_PARAM_SIZE_HINT]: content.length } };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(content, quality));
  await writeFile(`${path}.gz`, await promisify(gzip)(content, { level: 9 }));
}

/** esbuild writes the styles of every lazily loaded module once more, in files that nothing links. */
async function dropUnlinkedStyles(outputs) {
  const isUnlinked = (path) => path.endsWith(".css") && !outputs[path].entryPoint && path !== styleOfPage(outputs);
  const [dropped, kept] = [true, false].map((is) => Object.keys(outputs).filter((path) => isUnlinked(path) === is));
  await Promise.all(dropped.map((path) => rm(path)));
  return kept;
}

function styleOfPage(outputs) {
  return Object.values(outputs).find((output) => output.entryPoint === "graphiql.jsx").cssBundle;
}

/** The licence texts of every package that went into the bundle: they allow passing it on only with them. */
async function licences(paths) {
  const packages = new Set(paths.map((path) => path.match(/.*node_modules\/(?:@[^/]+\/)?[^/]+/)?.[0]).filter(Boolean));
  const texts = await Promise.all([...packages].sort().map(licence));
  return texts.join(`\n${"-".repeat(80)}\n\n`);
}

async function licence(folder) {
  const { name, version, license } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
  const files = (await readdir(folder, { withFileTypes: true })).filter((entry) => entry.isFile());
  const legal = files.map((file) => file.name).filter((file) => /licen[cs]e|copying|notice/i.test(file));
  const texts = await Promise.all(legal.map((file) => readFile(join(folder, file), "utf8")));
  return `${name} ${version} (${license})\n\n${texts.join("\n")}`;
}
