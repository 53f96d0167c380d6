// Operations to start from. Every selection has the `id`: without it, the cache keeps a copy of its own.
import { gql } from "@urql/core";

export const RELEASE_LABEL = gql`
  fragment ReleaseLabel on Release { id nodeId name version status notes etag }
`;

export const RELEASE = gql`
  query Release($id: ID!) { release(id: $id) { ...ReleaseLabel } }
  ${RELEASE_LABEL}
`;

export const DEPENDANTS = gql`
  query Dependants($id: ID!, $first: Int, $after: String) {
    release(id: $id) {
      id
      dependants(first: $first, after: $after) {
        edges { cursor node { ...ReleaseLabel } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
  ${RELEASE_LABEL}
`;

export const DEPENDENCIES = gql`
  query Dependencies($id: ID!, $first: Int, $after: String) {
    release(id: $id) {
      id
      dependencies(first: $first, after: $after) {
        edges { cursor reference { releaseId name version } node { ...ReleaseLabel } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
  ${RELEASE_LABEL}
`;

export const PRODUCT_RELEASES = gql`
  query ProductReleases($id: ID!, $first: Int, $after: String, $filter: ReleaseFilter, $orderBy: ReleaseOrder) {
    product(id: $id) {
      id
      releases(first: $first, after: $after, filter: $filter, orderBy: $orderBy) {
        edges { cursor node { ...ReleaseLabel } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
  ${RELEASE_LABEL}
`;

export const ENVIRONMENT_RELEASES = gql`
  query EnvironmentReleases($name: String!, $first: Int, $after: String) {
    environment(name: $name) {
      id
      releases(first: $first, after: $after) {
        edges { cursor node { ...ReleaseLabel } }
        pageInfo { hasNextPage endCursor }
      }
    }
  }
  ${RELEASE_LABEL}
`;

export const PATCH_RELEASE = gql`
  mutation PatchRelease($input: PatchReleaseInput!) {
    patchRelease(input: $input) {
      release { ...ReleaseLabel }
      problem { title status detail ... on ValidationProblem { violations { field code message } } }
    }
  }
  ${RELEASE_LABEL}
`;

// A dry run answers with the release as it would be. It asks for no `release`, so that the cache can't keep it.
export const TRY_PATCH_RELEASE = gql`
  mutation TryPatchRelease($input: PatchReleaseInput!) {
    patchRelease(input: $input) {
      dryRun
      warnings
      problem { title status detail ... on ValidationProblem { violations { field code message } } }
    }
  }
`;

export const EVENTS = gql`
  subscription Events($after: ID) { events(after: $after) { id type triggeredAt release { ...ReleaseLabel } } }
  ${RELEASE_LABEL}
`;

// What a mutation shows until the server has answered, for the cache. A refusal rolls it back; a dry run shows nothing.
export const optimistic = {
  patchRelease: ({ input: { id, name, notes, dryRun = false } }) => ({
    __typename: "PatchReleasePayload",
    dryRun,
    release: dryRun ? null : { __typename: "Release", id, name, ...(notes != null && { notes }) },
    warnings: [],
    problem: null,
  }),
};
