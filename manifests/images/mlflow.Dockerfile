# MLflow's own image lacks the clients of PostgreSQL and S3.
FROM python:3.11-slim-bookworm
COPY requirements.txt /tmp/requirements.txt
RUN pip install --no-cache-dir --constraint /tmp/requirements.txt mlflow==3.17.2 psycopg2-binary==2.9.13 boto3==1.44.5
USER 1000:1000
ENTRYPOINT ["mlflow"]
