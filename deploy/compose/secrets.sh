#!/bin/sh
# Makes the secrets of docker-compose.yml in the folder ./secrets. A secret that exists stays as it is.
#   sh deploy/compose/secrets.sh [FOLDER]
set -eu
folder=${1:-secrets}
# The folder is closed to others. The files in it are not, because users inside the containers read them.
mkdir -p "$folder"
chmod 700 "$folder"
umask 022

random() { od -An -N"$1" -tx1 /dev/urandom | tr -d ' \n'; }

# Writes standard input to a secret; a secret that is incomplete gets no name.
keep() {
    test -e "$folder/$1" && return
    cat > "$folder/$1.partial"
    mv "$folder/$1.partial" "$folder/$1"
}

random 256 | keep mongodb_key
random 32 | keep mongodb_admin_password
random 32 | keep mongodb_password
login=release-catalog:$(cat "$folder/mongodb_password")
options="replicaSet=rs0&authSource=release_catalog"
printf %s "mongodb://$login@mongo:27017/?$options" | keep mongodb_url
printf %s "mongodb://$login@mongo1:27017,mongo2:27017,mongo3:27017/?$options" | keep mongodb_cluster_url
