// @ts-check
// Beginnings to try, written for this page in the manner of the old novels that the bundled model has read.

/** @type {{name: string, text: string}[]} */
export const SAMPLES = [
  {
    name: "The carriage",
    text: "It was late in the evening when the carriage turned in at the gate, and the old house stood dark against the hill, with a single lamp burning in the window above the door.",
  },
  {
    name: "A letter",
    text: "My dear sister,\n\nYou will be surprised to hear from me so soon, and more surprised still when you learn from what place I write. I had hardly set down my boxes at the inn when a gentleman, whom I had never seen before in my life, came up to me and said, with the greatest gravity,",
  },
  {
    name: "The harbour",
    text: "“There is no wind,” said the captain, “and there will be none before the morning.” He looked out over the harbour, where the boats lay as still as if they had been painted upon the water, and then he turned to the boy.",
  },
  {
    name: "A long one, 600 words",
    text: `There are towns that a traveller passes through without so much as asking their names, and Marrow Bridge was one of them. It had a church with half a steeple, the other half having been promised by a squire who died before he could be reminded of it; it had an inn, which was warm, and an assembly room, which was not; and it had a river, brown and slow, that went under the bridge as if it were ashamed of being seen there. The coach stopped for as long as it takes to change four horses, and then it went on to places of which people have heard.

On the last Tuesday of a wet November, however, somebody got down. The ostler, who held the lantern, saw first a boot, then a very long grey coat, and at last, at the top of it, the face of a man who might have been forty, or might have been a tired thirty. He had no trunk. He had only a flat case of black leather, which he would not let the ostler carry, and which he kept under his arm while he asked, in a low voice, whether the house of Miss Pentelow was still standing.

“Standing, sir!” said the ostler. “Why, it has stood these hundred years, and I never heard that it was tired. But there is nobody in it now. The old lady was buried at Michaelmas.”

The stranger said nothing to this for some time. The rain ran from the brim of his hat, and the fresh horses shook themselves in the yard.

“At Michaelmas,” he said at last. “Then I am eight weeks too late. Is there anyone who has the key?”

There was the lawyer, Mr. Tobias Crane, who had the key of every empty house in the parish, and who was at that moment sitting before his fire with his feet upon a volume of the statutes. He did not like to be disturbed after six o'clock; but he liked still less to be left out of anything, and when his servant told him that a gentleman in grey was asking about the Pentelow house, he took down his feet, put on his spectacles, and desired that the gentleman should be shown in.

“You are a relation, I presume?” said Mr. Crane, when the first civilities were over, and the black case had been laid upon the table between the candles.

“I am not,” said the stranger.

“A creditor, then?”

“On the contrary. It is I who owe her something, and I have carried it for eleven years.” He put his hand flat upon the leather. “She gave me this to keep when I was a boy of no consequence, and told me to bring it back when I understood what it was. I have been slow, Mr. Crane. I understood it only this summer, in a hospital at Lisbon, where I had nothing to do but think. I set out as soon as I could stand.”

The lawyer looked at the case, and then at the man, and then, since he was after all a kind of historian of his neighbours' affairs, he looked at the clock and saw that he would not go early to bed. He rang for another glass. Outside, the coach could be heard upon the bridge, and then upon the hill, and then not at all; and the town settled again into its usual silence, which was of the sort that listens.

“Begin at the beginning,” said Mr. Crane, “and leave out nothing that you are ashamed of, for in my experience that is where the matter commonly lies.”

The stranger smiled for the first time. He undid the two straps, slowly, one after the other, and opened the case; and`,
  },
];
