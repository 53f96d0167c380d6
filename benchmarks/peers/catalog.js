// The catalog for the GraphQL servers in Node: its collections, and the resolvers over them, written once.
// What a level of a query needs goes to MongoDB in one command, by DataLoader; projections are fixed.
import { readFileSync } from "node:fs";
import DataLoader from "dataloader";
import { GraphQLScalarType } from "graphql";
import { MongoClient } from "mongodb";

const { MONGODB_URL, DATABASE, TENANT: tenantId } = process.env;
export const port = Number(process.env.PORT);
export const typeDefs = readFileSync(new URL("schema.graphql", import.meta.url), "utf8");

const database = new MongoClient(MONGODB_URL).db(DATABASE);
const releases = database.collection("releases");
const key = (id) => `${encodeURIComponent(tenantId)}/${id}`;
const only = (names) => ({ _id: 0, ...Object.fromEntries(names.split(" ").map((name) => [name, 1])) });

// What tells which release a reference means, what a page shows of each, and what a link is made of.
const IDENTITY = "id catalogId name version revisionKey createdAt dependencies productId";
const LISTED = only(
  `${IDENTITY} revision tag channel trial status publishedAt private author updatedAt etag artifacts.id ` +
    "artifacts.name artifacts.platform artifacts.size artifacts.sha256 artifacts.downloadUrl branch packagingType " +
    "baseImageId registryId",
);
const NEEDED = only(IDENTITY);
const PRODUCT = only("id key name");
const IMAGE = only("id operatingSystem");

const escaped = (text, mark) => text.replaceAll("%", "%25").replaceAll(mark, encodeURIComponent(mark));
const byName = (r) => `${escaped(r.catalogId, "/")}/${escaped(r.name, "@")}@${r.version}`;
const compare = (a, b) => (a < b ? -1 : Number(a > b));
const byRank = (a, b) =>
  compare(a.revisionKey, b.revisionKey) || compare(a.createdAt, b.createdAt) || compare(a.id, b.id);

const byIds = (collection, projection) =>
  new DataLoader(async (ids) => {
    const match = { _id: { $in: ids.map(key) }, tenantId };
    const found = await database.collection(collection).find(match, { projection }).toArray();
    const known = new Map(found.map((document) => [document.id, document]));
    return ids.map((id) => known.get(id) ?? null);
  });

const answering = async (wanted) => {
  const match = { tenantId, terms: { $in: wanted.map((reference) => `is:${reference}`) } };
  const found = await releases.find(match, { projection: NEEDED, hint: "terms" }).toArray();
  // Of several that answer to one reference, the last here is meant.
  const best = new Map(found.sort(byRank).flatMap((r) => [`#${r.id}`, byName(r)].map((reference) => [reference, r])));
  return wanted.map((reference) => best.get(reference) ?? null);
};

/** What the resolvers of one request share. */
export const context = () => ({
  releases: byIds("releases", LISTED),
  products: byIds("products", PRODUCT),
  baseImages: byIds("baseImages", IMAGE),
  references: new DataLoader(answering),
});

const FIELDS = { CREATED_AT: "createdAt", NAME: "name" };
const encoded = (order, release) => {
  const value = release[FIELDS[order]];
  const place = [order, order === "NAME" ? value : value.getTime(), release.id];
  return Buffer.from(JSON.stringify(place)).toString("base64url");
};

const beyond = (order, operator, after) => {
  const [, place, id] = JSON.parse(Buffer.from(after, "base64url"));
  const [field, value] = [FIELDS[order], order === "NAME" ? place : new Date(place)];
  return [{ [field]: { [operator]: value } }, { [field]: value, id: { [operator]: id } }];
};

const either = (matches) => (matches.length === 1 ? matches[0] : { $or: matches });

/** A page of the releases that meet any of `matches`; it is counted only where that is asked for. */
const connection = (matches, hint, { first, after, order = "CREATED_AT", direction = "DESC" }) => {
  const sign = direction === "ASC" ? 1 : -1;
  const places = after ? beyond(order, sign > 0 ? "$gt" : "$lt", after) : [{}];
  const match = either(matches.flatMap((match) => places.map((place) => ({ $and: [match, place] }))));
  const sort = { [FIELDS[order]]: sign, id: sign };
  const rows = releases.find(match, { projection: LISTED, hint, sort, limit: first + 1 }).toArray();
  return { rows, first, order, matches, hint };
};

const instant = (value) => value.toISOString().replace(".000Z", "Z");
const link = (...segments) => ({ href: `/v1/${segments.map(encodeURIComponent).join("/")}` });

const onBranch = async (r, _, { products, baseImages }) => {
  if (!r.branch) return null;
  const product = await products.load(r.productId);
  const system = r.baseImageId && (await baseImages.load(r.baseImageId))?.operatingSystem;
  const { href } = link("applications", "product", product.key, "branch", r.branch);
  const query = new URLSearchParams(r.packagingType ? { packaging: r.packagingType } : {});
  if (system?.distro) query.set("distro", [system.distro, system.version].filter(Boolean).join("-"));
  return { href: query.size ? `${href}?${query}` : href };
};

export const resolvers = {
  DateTime: new GraphQLScalarType({ name: "DateTime", serialize: instant, parseValue: (text) => new Date(text) }),
  Long: new GraphQLScalarType({ name: "Long", serialize: Number }),
  Query: {
    release: (_, { id }, { releases }) => releases.load(id),
    releases: (_, { filter, orderBy, first, after }) => {
      const match = { tenantId };
      if (filter?.author) match.terms = `author:${filter.author}`;
      if (filter?.createdFrom) match.createdAt = { $gte: filter.createdFrom };
      const order = { order: orderBy?.field, direction: orderBy?.direction };
      return connection([match], match.terms ? "terms" : "created", { first: first ?? 20, after, ...order });
    },
  },
  ReleaseConnection: {
    nodes: async ({ rows, first }) => (await rows).slice(0, first),
    pageInfo: async ({ rows, first, order }) => {
      const found = await rows;
      const last = found.slice(0, first).at(-1);
      return { hasNextPage: found.length > first, endCursor: last ? encoded(order, last) : null };
    },
    totalCount: ({ matches, hint }) => releases.countDocuments(either(matches), { hint }),
  },
  DependencyConnection: {
    nodes: async (needs, _, { references }) =>
      (await Promise.all(needs.map((needed) => references.load(needed.reference)))).filter(Boolean),
    totalCount: (needs) => needs.length,
  },
  Release: {
    product: (r, _, { products }) => products.load(r.productId),
    published: (r) => r.status === "PUBLISHED",
    archived: (r) => r.status === "ARCHIVED",
    artifactCount: (r) => r.artifacts.length,
    dependencies: (r, { first }) => r.dependencies.slice(0, first),
    dependants: async (r, { first, after }, { references }) => {
      // A reference by name means the highest revision: only that one has dependants by name.
      const best = await references.load(byName(r));
      const needs = [`#${r.id}`, ...(best?.id === r.id ? [byName(r)] : [])];
      return connection(needs.map((needed) => ({ tenantId, terms: `needs:${needed}` })), "terms", { first, after });
    },
    _links: (r) => r,
  },
  ReleaseLinks: {
    self: (r) => link("catalogs", r.catalogId, "releases", r.id),
    catalog: (r) => link("catalogs", r.catalogId),
    application: (r) => link("catalogs", r.catalogId, "applications", r.productId),
    product: onBranch,
    baseImage: (r) => (r.baseImageId ? link("base-images", r.baseImageId) : null),
    registry: (r) => (r.registryId ? link("registries", r.registryId) : null),
  },
};
