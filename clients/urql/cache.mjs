// The keys of urql's normalised cache for the release catalog. Copy it as it is; the README says why each part is here.
import { cacheExchange } from "@urql/exchange-graphcache";

// Fragments on interfaces match only if the cache knows which types implement them; otherwise it guesses.
export const possibleTypes = {
  Node: [
    "AccessToken", "Artifact", "BaseImage", "Catalog", "Environment", "EnvironmentContent", "Event", "Pipeline",
    "Product", "Project", "Promotion", "Registry", "Release", "Webhook", "WebhookDelivery",
  ],
  Problem: ["ConflictProblem", "ForbiddenProblem", "NotFoundProblem", "PreconditionProblem", "ValidationProblem"],
};

// Their ids are unique only within their parents.
const withLocalIds = ["Customization", "CustomizationArtifact", "NamedReference", "OperatingSystem", "ReleaseMetadataFile"];
// They have no id: without an entry, urql warns of each.
const withoutIds = [
  "ArtifactVerification", "CmsDefaultOverride", "CmsDetails", "CmsEnvironmentOverride", "ConflictProblem", "Delivery",
  "DeliveryProject", "DependencyGraph", "DependencyPath", "DependencyReference", "DockerImage", "FacetCount", "FieldChange",
  "ForbiddenProblem", "ImportWarning", "ItemChange", "Link", "NotFoundProblem", "Platform", "PlatformReleaseMetadata",
  "PreconditionProblem", "ProductInEnvironment", "PromotedArtifact", "PropertyDefinition", "PropertyValue", "RateLimit",
  "RegistryArtifact", "ReleaseComparison", "ReleaseFacets", "ReleaseInEnvironment", "ReleaseLinks", "ValidationProblem",
  "Viewer", "Violation", "Withdrawal",
];
export const keys = Object.fromEntries([...withLocalIds, ...withoutIds].map((type) => [type, () => null]));

export const createCache = (options = {}) => cacheExchange({ keys, possibleTypes, ...options });
