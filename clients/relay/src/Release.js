import { graphql } from "relay-runtime";

graphql`
  fragment Release_label on Release @inline {
    nodeId
    id
    name
    version
    status
    notes
    etag
  }
`;

graphql`
  query ReleaseQuery($id: ID!, $first: Int = 20) {
    release(id: $id) {
      ...Release_label
      ...Release_dependants @arguments(first: $first)
      ...Release_dependencies @arguments(first: $first)
    }
  }
`;

// usePaginationFragment(dependants, release)
graphql`
  fragment Release_dependants on Release
  @refetchable(queryName: "ReleaseDependantsPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    dependants(first: $first, after: $after) @connection(key: "Release_dependants") {
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

graphql`
  fragment Release_dependencies on Release
  @refetchable(queryName: "ReleaseDependenciesPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 20 }, after: { type: "String" }) {
    dependencies(first: $first, after: $after) @connection(key: "Release_dependencies") {
      edges {
        reference {
          releaseId
          name
          version
        }
        node {
          id
          name
          version
        }
      }
    }
  }
`;

graphql`
  mutation ReleasePatchMutation($input: PatchReleaseInput!) {
    patchRelease(input: $input) {
      release {
        ...Release_label
      }
      problem {
        __typename
        title
        detail
        ... on ValidationProblem {
          violations {
            field
            code
            message
          }
        }
      }
    }
  }
`;

// A dry run answers with the release as it would be. It asks for no `release`, so that the store can't keep it.
graphql`
  mutation ReleaseTryPatchMutation($input: PatchReleaseInput!) {
    patchRelease(input: $input) {
      dryRun
      warnings
      problem {
        __typename
        title
        detail
      }
    }
  }
`;

graphql`
  subscription ReleaseEventsSubscription($after: ID) {
    events(after: $after) {
      id
      type
      triggeredAt
      release {
        ...Release_label
      }
    }
  }
`;
