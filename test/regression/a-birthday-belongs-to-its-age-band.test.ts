import t from 'tap';
import { birthdaysUntil } from '../../lib/text/calendar.js';

const day = (text: string) => Date.parse(text) / 86_400_000;

t.test('A patient is 45 on the 45th birthday, though 45 years of 365.25 days are a day longer', async (t) => {
	const [birth, birthday] = [day('1950-06-15'), day('1995-06-15')];
	t.ok((birthday - birth) / 365.25 < 45);
	t.equal(birthdaysUntil(birth, birthday), 45);
	t.equal(birthdaysUntil(birth, birthday - 1), 44);
});

t.test('On every day of a life the birthdays are those of the calendar', async (t) => {
	for (const birth of ['1899-12-31', '1950-06-15', '1996-02-29', '2000-01-01'].map(day)) {
		let completed = 0;
		for (let now = birth + 1; now < birth + 36_600; now++) {
			const date = new Date(now * 86_400_000);
			const born = new Date(birth * 86_400_000);
			// Date itself moves 29 February to 1 March where the year has none.
			const birthday = Date.UTC(date.getUTCFullYear(), born.getUTCMonth(), born.getUTCDate()) / 86_400_000;
			if (now === birthday) completed++;
			if (birthdaysUntil(birth, now) !== completed) return t.fail(`${date.toISOString()}: ${completed}`);
		}
	}
});
