#!/bin/sh
# A bucket, a user and a policy each for segline and MLflow; neither sees the other's. May run again.
set -eu

account() { # bucket access-key secret-key
  mc mb --ignore-existing "store/$1"
  mc admin user add store "$2" "$3"
  mc admin policy create store "$1" "/buckets/$1-policy.json"
  if ! said=$(mc admin policy attach store "$1" --user "$2" 2>&1); then
    case $said in
      *"already in effect"*) ;;
      *) echo "$said" >&2; exit 1 ;;
    esac
  fi
}

until mc ready store; do sleep 2; done
account segline "$SEGLINE_ACCESS_KEY" "$SEGLINE_SECRET_KEY"
account mlflow "$MLFLOW_ACCESS_KEY" "$MLFLOW_SECRET_KEY"
# A registered model that was overwritten or deleted by mistake can be had back.
mc version enable store/mlflow
