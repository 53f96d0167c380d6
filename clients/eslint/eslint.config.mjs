// graphql-eslint over the schema, with its recommended preset and the one for Relay. Copy it with schema.graphql beside
// it. Each exception has its reason; everything else that the presets report is a mistake of the schema.
import graphql from "@graphql-eslint/eslint-plugin";

const presets = { ...graphql.configs["flat/schema-recommended"].rules, ...graphql.configs["flat/schema-relay"].rules };
const [, names] = presets["@graphql-eslint/naming-convention"];

// Types without an identity. A cache keeps them inside their parents.
export const withoutIdentity = {
  "A value: two that say the same are the same.": [
    "CmsDefaultOverride", "CmsEnvironmentOverride", "DependencyReference", "DockerImage", "FacetCount", "FieldChange",
    "ItemChange", "Link", "Platform", "PromotedArtifact", "PropertyDefinition", "PropertyValue", "RegistryArtifact", "Violation",
  ],
  "One of a parent, which has the identity.": [
    "ArtifactVerification", "CmsDetails", "Delivery", "PlatformReleaseMetadata", "ReleaseFacets", "ReleaseLinks", "Withdrawal",
  ],
  "A fact about documents that have identities.": ["DeliveryProject", "ImportWarning", "ProductInEnvironment", "ReleaseInEnvironment"],
  "Computed for one answer, and stored nowhere.": [
    "DependencyGraph", "DependencyPath", "PageInfo", "RateLimit", "ReleaseComparison", "Viewer",
  ],
};
// Parts of lists, results of mutations, and refusals.
export const suffixesWithoutIdentity = ["Connection", "Edge", "Payload", "Problem"];

export default [
  {
    files: ["schema.graphql"],
    plugins: { "@graphql-eslint": graphql },
    languageOptions: { parser: graphql.parser, parserOptions: { graphQLConfig: { schema: "./schema.graphql" } } },
    rules: {
      ...presets,
      "@graphql-eslint/strict-id-in-types": [
        "error",
        { exceptions: { types: Object.values(withoutIdentity).flat(), suffixes: suffixesWithoutIdentity } },
      ],
      // Connections have `nodes` besides `edges`, for readers who need no cursors; short lists have no pages.
      "@graphql-eslint/relay-edge-types": ["error", { listTypeCanWrapOnlyEdgeType: false }],
      // `_links` has the name of HAL (S5).
      "@graphql-eslint/naming-convention": [
        "error",
        { ...names, FieldDefinition: { style: "camelCase", ignorePattern: "^_links$" } },
      ],
      // The rule has no exceptions. It would report `Node.nodeId`, which can't be `id` because that is an id of its own,
      // `Release.releasedAt` (S5), and `PropertyValue.propertyValue` (S4).
      "@graphql-eslint/no-typename-prefix": "off",
    },
  },
];
