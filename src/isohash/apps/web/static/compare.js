// The histograms of two cases on one chart; the first is thick.

import { Histograms } from "./histograms.js";

const $ = (id) => document.getElementById(id);
const { case: one, other } = $("dvh").dataset;
const histograms = new Histograms($("dvh"), $("structures"), $("dvh-told"));
await histograms.show([one, other], ["#D55E00"]);
document.body.dataset.ready = "yes";
