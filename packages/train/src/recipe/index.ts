export * from './parse-recipe.js';
export * from './recipe-schema.js';
