/*
 * What the page is drawn with: numbers, elements, tables and plots. Every text comes into the page as
 * a text, by textContent, whoever chose it.
 */
'use strict';

const SPANS_MIN = [1, 2, 5];    /* of the plots: the first into which all goes */
const WINDOW_MS = SPANS_MIN[SPANS_MIN.length - 1] * 60000;

const byId = (id) => document.getElementById(id);

/* ---- numbers and texts ---- */

function bytes(n) {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
	let unit = 0;

	for (; n >= 1024 && unit + 1 < units.length; unit++)
		n /= 1024;
	return (unit && n < 100 ? n.toFixed(1) : Math.round(n)) + ' ' + units[unit];
}

const perSecond = (n) => bytes(n) + '/s';
const count = (n) => String(Math.round(n)).replace(/\B(?=(\d{3})+$)/g, '\u202f');
const rate = (n) => (n < 10 ? n.toFixed(1) : count(n)) + '/s';

function age(ms) {
	const s = Math.floor(ms / 1000), two = (n) => String(n).padStart(2, '0');

	if (s < 60)
		return s + ' s';
	if (s < 3600)
		return Math.floor(s / 60) + ' min ' + two(s % 60) + ' s';
	if (s < 86400)
		return Math.floor(s / 3600) + ' h ' + two(Math.floor(s / 60) % 60) + ' min';
	return Math.floor(s / 86400) + ' d ' + Math.floor(s / 3600) % 24 + ' h';
}

/* ---- elements ---- */

/* Only what is different is touched, so that a selection in the page lasts. */
function setText(element, text) {
	if (element.textContent !== String(text))
		element.textContent = text;
}

function setClass(element, name) {
	if (element.className !== name)
		element.className = name;
}

function make(parent, tag, className, text) {
	const element = document.createElement(tag);

	if (className)
		element.className = className;
	if (text !== undefined)
		element.textContent = text;
	parent.append(element);
	return element;
}

function svg(parent, tag, attributes) {
	const element = document.createElementNS('http://www.w3.org/2000/svg', tag);

	for (const [name, value] of Object.entries(attributes))
		element.setAttribute(name, value);
	parent.append(element);
	return element;
}

/* The nth child of parent, made if need be. */
function child(parent, n, tag) {
	return parent.children[n] || make(parent, tag);
}

function trim(parent, n) {
	while (parent.children.length > n)
		parent.lastChild.remove();
}

/* A cell is a text, or { text, kind (of a badge), note (below it) }. */
function fillCell(td, column, value) {
	const cell = typeof value === 'object' ? value : { text: value };

	setClass(td, column.number ? 'number' : '');
	td.dataset.column = column.title;
	setText(child(td, 0, 'span'), cell.text);
	setClass(td.children[0], cell.kind ? 'badge ' + cell.kind : '');
	if (cell.note) {
		setText(child(td, 1, 'span'), cell.note);
		setClass(td.children[1], 'note');
	} else {
		trim(td, 1);
	}
}

/* columns: [{ title, number, of(row) }]. A table without rows is not shown. */
function fillTable(id, columns, rows, wide) {
	const table = byId(id);

	table.hidden = rows.length === 0;
	if (!table.tHead) {
		const head = make(make(table, 'thead'), 'tr');

		table.className = wide ? 'wide' : '';
		for (const column of columns)
			make(head, 'th', column.number ? 'number' : '', column.title).scope = 'col';
		make(table, 'tbody');
	}
	const body = table.tBodies[0];

	rows.forEach((row, i) => {
		const tr = child(body, i, 'tr');

		columns.forEach((column, j) => fillCell(child(tr, j, 'td'), column, column.of(row)));
	});
	trim(body, rows.length);
}

/* rows: [[name, value, what stands below it]] */
function fillList(id, rows) {
	const list = byId(id), tiles = id === 'tiles';

	rows.forEach(([name, value, note], i) => {
		const dt = tiles ? child(child(list, i, 'div'), 0, 'dt') : child(list, 2 * i, 'dt');
		const dd = child(tiles ? list.children[i] : list, tiles ? 1 : 2 * i + 1, 'dd');

		setText(dt, name);
		setText(child(dd, 0, 'span'), value);
		if (tiles) {
			setText(child(dd, 1, 'span'), note || '');
			setClass(dd.children[1], 'of');
		}
	});
	trim(list, tiles ? rows.length : 2 * rows.length);
}

/* ---- plots ---- */

/* The next round number: of bytes a power of two, else 1, 2 or 5 times one of ten. */
function ceiling(n, ofBytes) {
	if (n <= 0)
		return ofBytes ? 1024 : 1;
	if (ofBytes)
		return 2 ** Math.ceil(Math.log2(n));
	const ten = 10 ** Math.floor(Math.log10(n));

	return [1, 2, 5, 10].find((m) => m * ten >= n * 0.9999) * ten;
}

/* Samples that follow one another without a gap. */
function runs(samples) {
	const all = [];
	let last = null;

	for (const sample of samples) {
		if (!last || sample.first)
			all.push([]);
		all[all.length - 1].push(sample);
		last = sample;
	}
	return all;
}

class Plot {
	/* series: [{ name, colour, of(sample) }]; stacked: their sum is the upper edge. */
	constructor(title, series, { stacked, ofBytes, format }) {
		const box = make(byId('plots'), 'div', 'plot');

		Object.assign(this, { series, stacked, ofBytes, format, at: null });
		make(box, 'h2', '', title);
		const figure = make(box, 'figure');

		this.stage = make(figure, 'div', 'stage');
		this.svg = svg(this.stage, 'svg', { viewBox: '0 0 1000 100', preserveAspectRatio: 'none',
						    role: 'img', 'aria-label': title });
		svg(this.svg, 'path', { class: 'grid', d: 'M0 0H1000M0 50H1000' });
		this.paths = series.map((s) => svg(this.svg, 'path', { class: (stacked ? 'area ' : 'trace ') + s.colour }));
		this.cursor = svg(this.svg, 'path', { class: 'cursor' });
		this.top = make(this.stage, 'span', 'top');
		this.half = make(this.stage, 'span', 'half');
		const axis = make(figure, 'div', 'axis');

		this.since = make(axis, 'span');
		this.when = make(axis, 'span', '', '');
		make(axis, 'span', '', 'now');
		const legend = make(figure, 'figcaption', 'legend');

		this.values = series.map((s) => {
			const entry = make(legend, 'span', s.colour);

			make(entry, 'i');
			make(entry, 'b', '', s.name + ' ');
			return make(entry, 'b');
		});
		this.stage.addEventListener('pointermove', (event) => this.point(event));
		this.stage.addEventListener('pointerleave', () => this.point(null));
	}

	/* The edge of the nth series at a sample. */
	edge(sample, n) {
		if (!this.stacked)
			return this.series[n].of(sample);
		return this.series.slice(0, n + 1).reduce((sum, s) => sum + s.of(sample), 0);
	}

	path(n, run, x, y) {
		const line = (edge, samples) => samples.map((s) => x(s).toFixed(1) + ' ' + y(edge(s)).toFixed(2)).join('L');
		const lower = (s) => (n ? this.edge(s, n - 1) : 0);
		let d = 'M' + line((s) => this.edge(s, n), run);

		if (this.stacked)
			d += 'L' + line(lower, [...run].reverse()) + 'Z';
		return d;
	}

	draw(samples) {
		const end = samples.length ? samples[samples.length - 1].at : 0;
		const last = this.series.length - 1;
		const peak = Math.max(0, ...samples.map((s) => (this.stacked ? this.edge(s, last)
						: Math.max(...this.series.map((one) => one.of(s))))));
		const top = ceiling(peak, this.ofBytes);
		const length = samples.length ? end - samples[0].at : 0;
		const span = SPANS_MIN.find((minutes) => minutes * 60000 >= length) || SPANS_MIN.at(-1);
		const x = (s) => 1000 - (end - s.at) / (span * 60000) * 1000, y = (v) => 100 - v / top * 100;
		const all = runs(samples);

		this.samples = samples;
		this.x = x;
		this.paths.forEach((path, n) => path.setAttribute('d', all.map((run) => this.path(n, run, x, y)).join('')));
		setText(this.since, `${span} min ago`);
		setText(this.top, this.format(top));
		setText(this.half, this.format(top / 2));
		this.tell();
	}

	/* The pointer is there: the values of that time are told. */
	point(event) {
		const box = event && this.stage.getBoundingClientRect();

		this.at = box && box.width ? (event.clientX - box.left) / box.width * 1000 : null;
		if (this.samples)
			this.tell();
	}

	tell() {
		const known = this.samples;
		let sample = known[known.length - 1];

		if (this.at !== null && known.length)
			sample = known.reduce((best, s) =>
				(Math.abs(this.x(s) - this.at) < Math.abs(this.x(best) - this.at) ? s : best));
		this.values.forEach((value, n) => setText(value, sample ? this.format(this.series[n].of(sample)) : '-'));
		this.cursor.setAttribute('d', this.at !== null && sample ? `M${this.x(sample)} 0V100` : '');
		setText(this.when, this.at !== null && sample ? new Date(sample.wall).toLocaleTimeString() : '');
	}
}
