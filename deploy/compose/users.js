// Forms the replica set, and gives its users their passwords and roles. It may run again at any time.
//   mongosh --nodb --file users.js, with MEMBERS (host:port,...) and the secrets in the folder SECRETS
const fs = require("fs");

const DATABASE = "release_catalog";
const members = process.env.MEMBERS.split(",");
const secret = (name) => fs.readFileSync(`${process.env.SECRETS || "/run/secrets"}/${name}`, "utf8").trim();
// The credential of the set's members: it exists before all users, and after their passwords are lost.
const login = `mongodb://__system:${encodeURIComponent(secret("mongodb_key"))}@`;

function initiate() {
  const node = connect(`${login}${members[0]}/admin?authSource=local&directConnection=true`);
  try {
    node.runCommand({ replSetInitiate: { _id: "rs0", members: members.map((host, _id) => ({ _id, host })) } });
  } catch (error) {
    if (error.codeName !== "AlreadyInitialized") throw error;
  }
}

// The password also changes if its secret has changed.
function save(database, user, pwd, roles) {
  if (database.getUser(user)) database.updateUser(user, { pwd, roles });
  else database.createUser({ user, pwd, roles });
}

initiate();
// It waits until there is a primary.
const admin = connect(`${login}${members.join(",")}/admin?authSource=local&replicaSet=rs0&serverSelectionTimeoutMS=90000`);
save(admin, "admin", secret("mongodb_admin_password"), [{ role: "root", db: "admin" }]);

const catalog = admin.getSiblingDB(DATABASE);
// A change of RELEASE_CATALOG_EVENTS_DAYS changes the expiry of documents, which readWrite does not allow.
const retention = [{ resource: { db: DATABASE, collection: "" }, actions: ["collMod"] }];
if (catalog.getRole("retention")) catalog.updateRole("retention", { privileges: retention, roles: [] });
else catalog.createRole({ role: "retention", privileges: retention, roles: [] });
save(catalog, "release-catalog", secret("mongodb_password"), [
  { role: "readWrite", db: DATABASE },
  { role: "retention", db: DATABASE },
]);
print("The replica set has a primary and its users.");
