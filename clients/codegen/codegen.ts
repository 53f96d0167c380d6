import type { CodegenConfig } from "@graphql-codegen/cli";

const config: CodegenConfig = {
  schema: "./schema.graphql",
  documents: ["src/**/*.ts", "!src/gql/**"],
  generates: {
    // One preset for one folder: the plugins typescript and typescript-operations in one file repeat identifiers.
    "./src/gql/": {
      preset: "client",
      presetConfig: {
        // Fragments are not masked: `useFragment` of this preset is no hook, and confuses linters.
        fragmentMasking: false,
      },
    },
  },
  config: {
    // Without these, scalars are `any`. A Long is a JSON number: JavaScript keeps 53 of its bits.
    scalars: { DateTime: "string", Date: "string", JSON: "unknown", Long: "number" },
    strictScalars: true,
    enumsAsTypes: true,
    useTypeImports: true,
  },
};

export default config;
