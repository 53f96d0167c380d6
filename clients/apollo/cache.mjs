// The cache of Apollo Client for the release catalog. Copy it as it is; the README says why each part is here.
import { InMemoryCache } from "@apollo/client";

// Fragments on interfaces match only if the cache knows which types implement them.
export const possibleTypes = {
  Node: [
    "AccessToken", "Artifact", "BaseImage", "Catalog", "Environment", "EnvironmentContent", "Event", "Pipeline",
    "Product", "Project", "Promotion", "Registry", "Release", "Webhook", "WebhookDelivery",
  ],
  Problem: ["ConflictProblem", "ForbiddenProblem", "NotFoundProblem", "PreconditionProblem", "ValidationProblem"],
};

// Their ids are unique only within their parents: keep them inside these.
const embedded = { keyFields: false };
// There is one per parent: fields that different queries read are added, not replaced.
const single = { keyFields: false, merge: true };

export const typePolicies = {
  Customization: embedded,
  CustomizationArtifact: embedded,
  NamedReference: embedded,
  OperatingSystem: embedded,
  ReleaseMetadataFile: embedded,
  ArtifactVerification: single,
  Delivery: single,
  ReleaseLinks: single,
};

export const createCache = () => new InMemoryCache({ possibleTypes, typePolicies });
