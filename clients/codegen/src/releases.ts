import { graphql } from "./gql";
import type { CreateReleaseInput } from "./gql/graphql";
import { request } from "./request";

const RELEASE = graphql(`
  query Release($id: ID!) {
    release(id: $id) {
      id
      name
      status
      metadata
      artifacts {
        name
        size
      }
    }
  }
`);

const CREATE_RELEASE = graphql(`
  mutation CreateRelease($input: CreateReleaseInput!) {
    createRelease(input: $input) {
      release {
        id
        etag
      }
      problem {
        detail
        ... on ValidationProblem {
          violations {
            field
            code
          }
        }
      }
    }
  }
`);

export async function createRelease(url: string, input: CreateReleaseInput): Promise<string> {
  const { release, problem } = (await request(url, CREATE_RELEASE, { input })).createRelease;
  if (problem) {
    const violations = "violations" in problem ? problem.violations : [];
    throw new Error([problem.detail, ...violations.map(({ field, code }) => `${field}: ${code}`)].join("\n"));
  }
  if (!release) throw new Error("no release");
  return release.id;
}

// The sum of the sizes, or nothing for a release that does not exist or is hidden.
export async function totalSize(url: string, id: string): Promise<number | undefined> {
  const { release } = await request(url, RELEASE, { id });
  return release?.artifacts.reduce((sum, { size }) => sum + size, 0);
}
