import { graphql } from "relay-runtime";

graphql`
  query ProductQuery($id: ID!, $first: Int = 20, $filter: ReleaseFilter, $orderBy: ReleaseOrder) {
    product(id: $id) {
      id
      name
      ...Product_releases @arguments(first: $first, filter: $filter, orderBy: $orderBy)
    }
  }
`;

// Releases of each filter and order are a list of their own. It pages in both directions.
graphql`
  fragment Product_releases on Product
  @refetchable(queryName: "ProductReleasesPageQuery")
  @argumentDefinitions(
    first: { type: "Int" }
    after: { type: "String" }
    last: { type: "Int" }
    before: { type: "String" }
    filter: { type: "ReleaseFilter" }
    orderBy: { type: "ReleaseOrder" }
  ) {
    releases(first: $first, after: $after, last: $last, before: $before, filter: $filter, orderBy: $orderBy)
      @connection(key: "Product_releases", filters: ["filter", "orderBy"]) {
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
