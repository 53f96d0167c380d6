import { graphql } from "relay-runtime";

graphql`
  query EnvironmentQuery($name: String!, $first: Int = 20) {
    environment(name: $name) {
      id
      name
      ...Environment_releases @arguments(first: $first)
    }
  }
`;

graphql`
  fragment Environment_releases on Environment
  @refetchable(queryName: "EnvironmentReleasesPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    releases(first: $first, after: $after) @connection(key: "Environment_releases") {
      edges {
        node {
          id
          name
          version
        }
      }
    }
  }
`;
