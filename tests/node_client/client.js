// A client of the two older services, as a Node app has it: axios, a time-out of five seconds, one
// address for each service. It knows nothing of facestream.
//
// Usage: node client.js FACE_PICTURE OTHER_PICTURE CROP_PICTURE; prints what it was told as JSON.

import { readFile } from "node:fs/promises";
import axios from "axios";

const detectionService = process.env.FACE_DETECTION_SERVICE || "http://face-detection-service:8001";
const embeddingService = process.env.FACE_EMBEDDING_SERVICE || "http://face-embedding-service:8002";
const timeout = parseInt(process.env.ML_SERVICE_TIMEOUT || "5000");

async function detectFaces(image) {
  const response = await axios.post(`${detectionService}/api/detect-face`, { image }, { timeout });
  if (!response.data.success) {
    throw new Error(response.data.message || "Face detection failed");
  }
  return response.data.faces;
}

async function extractEmbedding(image, aligned = false) {
  const response = await axios.post(
    `${embeddingService}/api/extract-embedding`,
    { image, aligned },
    { timeout },
  );
  if (!response.data.success) {
    throw new Error(response.data.message || "Embedding extraction failed");
  }
  return response.data.embedding;
}

async function healthCheck() {
  try {
    const detection = await axios.get(`${detectionService}/api/health`);
    const embedding = await axios.get(`${embeddingService}/api/health`);
    return {
      status: "healthy",
      services: { faceDetection: detection.data, faceEmbedding: embedding.data },
    };
  } catch (error) {
    return { status: "unhealthy", error: error.message };
  }
}

async function failureOf(promise) {
  try {
    await promise;
    return null;
  } catch (error) {
    return { message: error.message, status: error.response?.status, body: error.response?.data };
  }
}

const [face, other, crop] = await Promise.all(
  process.argv.slice(2).map(async (path) => (await readFile(path)).toString("base64")),
);

console.log(
  JSON.stringify({
    health: await healthCheck(),
    faces: await detectFaces(face),
    facesOfOther: await detectFaces(other),
    embedding: await extractEmbedding(face),
    embeddingOfCrop: await extractEmbedding(crop, true),
    failureOfOther: await failureOf(extractEmbedding(other)),
  }),
);
